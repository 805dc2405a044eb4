import {
  CURRENCY,
  invalidField,
  isRecord,
  JOB_TYPES,
  JobSubmission,
  type JobType,
  type LegacySubmission,
  memberText,
  validationProblem,
} from '@aitbc/contracts';
import { type Prepared, prepare } from '../commands/submit.ts';
import type { Work } from '../work.ts';
import { CONSTRAINTS, TYPES } from './names.ts';

type Fields = Record<string, unknown>;

/** Without what is null. */
const given = (fields: Fields): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== undefined));

/** What the JavaScript client sends as four fields is a payload to everybody else. */
const payloadOf = (body: LegacySubmission): Fields => {
  if (body.payload !== undefined) return body.payload;
  if (body.service_type === undefined) throw invalidField('payload', 'is required');
  return {
    type: body.service_type,
    ...(body.model === undefined ? {} : { model: body.model }),
    ...body.parameters,
  };
};

const systemMessage = (text: unknown) =>
  typeof text === 'string' && text !== '' ? [{ role: 'system', content: text }] : [];

/** The parameters of llm_inference that a payload stands for; undefined when it stands for something else. */
const writtenOf = (payload: Fields): Fields | undefined => {
  const { type, model, prompt, messages, system_prompt, max_tokens, temperature, seed } = given(payload);
  if (typeof type !== 'string' || TYPES.get(type.toLowerCase()) === undefined) return undefined;
  const system = systemMessage(system_prompt);
  const asked = Array.isArray(messages)
    ? { messages: [...system, ...messages] }
    : system.length > 0
      ? { messages: [...system, { role: 'user', content: prompt }] }
      : { prompt };
  const parsed = JOB_TYPES.llm_inference.safeParse(given({ model, ...asked, max_tokens, temperature, seed }));
  return parsed.success ? parsed.data : undefined;
};

const constraintsOf = (wished: Fields): Fields =>
  given(Object.fromEntries(Object.entries(CONSTRAINTS).map(([theirs, ours]) => [ours, wished[theirs]])));

const modelWished = ({ models }: Fields): string | null => {
  const [first] = Array.isArray(models) ? models : [];
  return typeof first === 'string' && first.length > 0 && first.length <= 200 ? first : null;
};

/**
 * What a submission in the original's words is in ours. The payload is kept as it was written, since Python tells 1.0 from 1:
 * in the parameters where they hold it, beside them where they say the same in our words.
 * @param text of the whole body
 * @throws Problem INVALID_JOB_TYPE, VALIDATION_ERROR
 */
export const prepareLegacy = (work: Work, body: LegacySubmission, text: string): Prepared => {
  const payload = payloadOf(body);
  const payloadText =
    (body.payload === undefined ? undefined : memberText(text, 'payload')) ?? JSON.stringify(payload);
  const { payment_currency: currency = CURRENCY } = body;
  if (currency.toUpperCase() !== CURRENCY) throw invalidField('payment_currency', `must be ${CURRENCY}`);
  const wished = body.constraints ?? body.requirements ?? {};
  const written = writtenOf(payload);
  const jobType: JobType = written === undefined ? 'custom' : 'llm_inference';
  const submission = JobSubmission.safeParse({
    job_type: jobType,
    parameters: written ?? { input: payload },
    constraints: constraintsOf(wished),
    ...(body.ttl_seconds === undefined || body.ttl_seconds === 0 ? {} : { ttl_seconds: body.ttl_seconds }),
    ...(body.payment_amount === undefined || body.payment_amount === 0
      ? {}
      : { payment_amount: body.payment_amount }),
  });
  if (!submission.success) throw validationProblem(submission.error);
  const prepared = prepare(work, submission.data, modelWished(wished));
  return written === undefined
    ? { ...prepared, parametersText: `{"input":${payloadText}}` }
    : { ...prepared, payload: payloadText };
};

/** What a miner of the original gets to read, as JSON: what its like sent, or the same in its words. */
export const payloadFor = (
  jobType: JobType,
  { parameters, payload }: { parameters: string; payload: string | null },
): string => {
  if (payload !== null) return payload;
  const ours = JSON.parse(parameters) as Fields;
  if (jobType === 'llm_inference')
    return JSON.stringify({ type: ours.prompt === undefined ? 'chat' : 'inference', ...ours });
  return memberText(parameters, 'input') ?? JSON.stringify({ type: jobType, ...ours });
};

/** The constraints of a job under the original's names, null where there is none. */
export const constraintsFor = (constraints: string, model: string | null): Fields => {
  const ours: unknown = JSON.parse(constraints);
  const fields = isRecord(ours) ? ours : {};
  return {
    ...Object.fromEntries(
      Object.entries(CONSTRAINTS).map(([theirs, name]) => [theirs, fields[name] ?? null]),
    ),
    models: model === null ? null : [model],
  };
};
