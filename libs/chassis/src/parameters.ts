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
const CHANGED = 'parameters';

/**
 * The governed parameters that `owner` obeys: the registry's default until a vote changed one, and instead of a stored
 * value that is outside the bounds of this release.
 * Values are read from memory, so a hot path may ask each time. Where the store is shared, a change that another process
 * heard is known here with its wake-up, or 2 s later.
 */
export const createParameters = async <S extends ServiceName>(store: Store, owner: S) => {
  const current = new Map<string, unknown>();
  const versions = new Map<string, number>();
  const take = (name: string, text: string, version: number): void => {
    // What was read before a change may be taken after it.
    if ((versions.get(name) ?? 0) > version) return;
    versions.set(name, version);
    // A vote under wider bounds of an older release may have left a value that nothing can work with.
    const value = inBounds(name, JSON.parse(text));
    if (value === undefined) current.delete(name);
    else current.set(name, value);
  };
  const load = async (): Promise<void> => {
    for (const row of await store.read.all(db.selectFrom('parameter').selectAll()))
      take(row.name, row.value, row.version);
  };
  // Another process may hear of a change. A store that is away keeps its values, and is asked again.
  if (store.isShared) store.subscribe(CHANGED, () => void load().catch(() => {}));
  await load();
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
      if (changed === 0) return;
      trx.afterCommit(() => take(change.name, value, change.version));
      trx.notify(CHANGED);
    },
  };
};
export type Parameters<S extends ServiceName> = Awaited<ReturnType<typeof createParameters<S>>>;
