import { clock } from '@aitbc/chassis';
import { type JobType, Problem, toMinor } from '@aitbc/contracts';
import { type Prepared, prepare } from '../commands/submit.ts';
import { requirementOf } from '../dispatcher/match.ts';
import type { Work } from '../work.ts';
import type { Asked } from './asked.ts';
import type { Models } from './models.ts';
import { asPlainChat, asPlainEmbedding } from './plain.ts';

/** What an answer must not take longer than when nothing can be said before it is whole: Node's fetch waits 300 s. */
export const WHOLE_MAX_SECONDS = 280;

interface Form {
  readonly jobType: JobType;
  readonly parameters: Record<string, unknown>;
}

/** The jobs that a request can be, the best first. */
const formsOf = ({ kind, request }: Asked): Form[] => {
  if (kind === 'completion') return [{ jobType: 'text_completion', parameters: { request } }];
  if (kind === 'embedding')
    return [{ jobType: 'embedding', parameters: asPlainEmbedding(request) ?? { request } }];
  const plain = asPlainChat(request);
  return [
    { jobType: 'chat_completion', parameters: { request } },
    ...(plain === null ? [] : [{ jobType: 'llm_inference' as const, parameters: plain }]),
  ];
};

/**
 * The job that a request becomes: the first form that a miner can run for this price.
 * @throws Problem VALIDATION_ERROR, MODEL_NOT_FOUND, PRICE_TOO_LOW
 */
export const prepareAsked = (work: Work, models: Models, asked: Asked): Prepared => {
  const [first, ...others] = formsOf(asked) as [Form, ...Form[]];
  const paid = asked.price === 0 ? {} : { payment_amount: asked.price };
  const submissionOf = ({ jobType, parameters }: Form) => ({
    job_type: jobType,
    parameters,
    constraints: asked.constraints,
    priority: 5,
    ttl_seconds: asked.maxWaitSeconds,
    timeout_seconds: asked.timeoutSeconds,
    labels: [],
    ...(asked.maxAttempts === undefined ? {} : { max_attempts: asked.maxAttempts }),
    ...paid,
  });
  // What is wrong with the request is said before anything about who could run it.
  const prepared = prepare(work, submissionOf(first));
  const offered = models.get(asked.model);
  const capacityOf = ({ jobType }: Form, constraints: Asked['constraints']) =>
    work.fleet.capacity(
      requirementOf({
        job_type: jobType,
        model: asked.model,
        constraints,
        pays_minor: toMinor(asked.price),
      }),
      clock.nowMs(),
    );
  if (capacityOf(first, asked.constraints) === 'capable') return prepared;
  for (const form of others)
    if (capacityOf(form, asked.constraints) === 'capable') return prepare(work, submissionOf(form));
  const forms = [first, ...others];
  if (forms.some((form) => capacityOf(form, asked.constraints) === 'price_too_low'))
    throw new Problem(
      'PRICE_TOO_LOW',
      `Miners that offer ${asked.model} ask for more than ${asked.price} AITBC: the least is ${offered.aitbc.price_min}. Name a price, for instance as the model ${asked.model}@${offered.aitbc.price_median}.`,
      { details: { param: 'model' } },
    );
  // Nobody is in that place now; somebody may come while the caller waits.
  const possible = forms.find((form) => capacityOf(form, {}) !== 'none');
  if (possible !== undefined) return possible === first ? prepared : prepare(work, submissionOf(possible));
  throw new Problem(
    'MODEL_NOT_FOUND',
    `Miners offer ${asked.model} for ${offered.aitbc.kinds.join(', ')}, and not for this request.`,
    { details: { param: 'model' } },
  );
};
