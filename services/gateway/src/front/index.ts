export { boundConnections } from './connections.ts';
export { type CountedClass, createFront, type Page, settleCost } from './front.ts';
export { createRouting } from './routing.ts';
export { prepareServer, SERVER_OPTIONS } from './server.ts';
