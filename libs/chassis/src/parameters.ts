import {
  inBounds,
  type OwnedBy,
  PARAMETERS,
  type ParameterName,
  type ParameterValue,
  type Payload,
  type ServiceName,
} from '@aitbc/contracts';
import type { ChassisTables } from './migrations/index.ts';
import { builder } from './sql.ts';
import type { Store, Trx } from './store/index.ts';

const db = builder<ChassisTables>();

/**
 * The governed parameters that `owner` obeys: the registry's default until a vote changed one, and instead of a stored
 * value that is outside the bounds of this release.
 * Values are read from memory, so a hot path may ask each time.
 */
export const createParameters = async <S extends ServiceName>(store: Store, owner: S) => {
  const current = new Map<string, unknown>();
  const take = (name: string, text: string): void => {
    // A vote under wider bounds of an older release may have left a value that nothing can work with.
    const value = inBounds(name, JSON.parse(text));
    if (value === undefined) current.delete(name);
    else current.set(name, value);
  };
  for (const row of await store.read.all(db.selectFrom('parameter').selectAll())) take(row.name, row.value);
  return {
    /** @param unvoted holds until a vote; the registry's default unless the environment says otherwise. */
    get: <N extends OwnedBy<S>>(
      name: N,
      unvoted: ParameterValue<N> = PARAMETERS[name as ParameterName].default as ParameterValue<N>,
    ): ParameterValue<N> => (current.has(name) ? current.get(name) : unvoted) as ParameterValue<N>,
    /** The consumer of governance.parameter_changed. Another service's parameter and an older version are ignored. */
    apply: async (trx: Trx, change: Payload<'governance.parameter_changed'>): Promise<void> => {
      const parameter = PARAMETERS[change.name];
      if (parameter.owner !== owner) return;
      const value = JSON.stringify(parameter.schema.parse(change.value));
      // The column is older than resets, which come from no proposal.
      const row = { value, version: change.version, proposal_id: change.proposal_id ?? '' };
      const changed = await trx.run(
        db
          .insertInto('parameter')
          .values({ name: change.name, ...row })
          .onConflict((conflict) =>
            conflict.column('name').doUpdateSet(row).where('parameter.version', '<', change.version),
          ),
      );
      // An older version than the one in force changes no row.
      if (changed > 0) trx.afterCommit(() => take(change.name, value));
    },
  };
};
export type Parameters<S extends ServiceName> = Awaited<ReturnType<typeof createParameters<S>>>;
