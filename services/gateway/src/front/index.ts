export { type CountedClass, chargeCost, createFront, type Page } from './front.ts';
export { createRouting } from './routing.ts';
export { prepareServer, SERVER_OPTIONS } from './server.ts';
