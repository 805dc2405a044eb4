export { endAttempt, judgeBeat, startAttempt } from './attempts.ts';
export { changePresence, markSilent, register, takeOff } from './registration.ts';
export { creditPayment, tellReputation } from './reputation.ts';
