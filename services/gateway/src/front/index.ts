export { boundConnections } from './connections.ts';
export { crossOrigin } from './cross-origin.ts';
export { type CountedClass, createFront, type Page, settleCost } from './front.ts';
export { createRouting } from './routing.ts';
export { prepareServer, SERVER_OPTIONS } from './server.ts';
