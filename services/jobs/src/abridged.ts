import type { Abridged, Trx } from '@aitbc/chassis';
import { type Job, toTimestampOrNull } from '@aitbc/contracts';
import { findJobs, textsOf } from './store/jobs.ts';

// An answer that is kept for an Idempotency-Key has no parameters: they stand in one place, and are erased there.

type Kept = Omit<Job, 'parameters' | 'salt'> & Partial<Pick<Job, 'parameters' | 'salt'>>;

const abridge = ({ parameters: _parameters, salt: _salt, ...kept }: Job): Kept => kept;

const wholeAgain = async (trx: Trx, kept: readonly Kept[]): Promise<Job[]> => {
  const found = await findJobs(
    trx,
    kept.map(({ id }) => id),
  );
  const rows = [...found.values()];
  const texts = new Map(
    (rows.length === 0 ? [] : await textsOf(trx, rows)).map((each) => [each.job.id, each]),
  );
  return kept.map((job) => {
    const of = texts.get(job.id);
    return {
      ...job,
      parameters: of === undefined ? {} : (JSON.parse(of.parameters) as Job['parameters']),
      salt: of?.job.salt ?? null,
      content_expired_at: toTimestampOrNull(of?.job.content_gone_at_ms ?? null),
    };
  });
};

export const oneJob: Abridged = {
  keep: (body) => abridge(body as Job),
  recall: async (trx, kept) => (await wholeAgain(trx, [kept as Kept]))[0],
};

interface Items {
  items: readonly { readonly job?: Kept }[];
}
export const jobsOfItems: Abridged = {
  keep: (body) => ({
    items: (body as Items).items.map((item) =>
      item.job === undefined ? item : { ...item, job: abridge(item.job as Job) },
    ),
  }),
  recall: async (trx, kept) => {
    const { items } = kept as Items;
    const whole = (
      await wholeAgain(
        trx,
        items.flatMap(({ job }) => (job === undefined ? [] : [job])),
      )
    ).values();
    return {
      items: items.map((item) => (item.job === undefined ? item : { ...item, job: whole.next().value })),
    };
  },
};
