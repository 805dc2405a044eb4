import { z } from 'zod';
import { isRecord } from '../../json.ts';

/** What stands for "not given" in the programs of the original. */
const withoutNulls = (value: unknown): unknown =>
  isRecord(value) ? Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== null)) : value;

/** Fields that are null are left out, and unknown ones are not looked at. */
export const lenient = <S extends z.ZodRawShape>(shape: S) => z.preprocess(withoutNulls, z.object(shape));

/** Those programs send a parameter that they have no value for as an empty one. */
export const orEmpty = <T extends z.ZodType>(schema: T) =>
  z.preprocess((value) => (value === '' ? undefined : value), schema.optional());

/** An answer whose fields are those named here and more. */
export const answer = z.looseObject;

export const tag = 'AITBC compatibility';

const NAME_MAX = 100;
const OTHERWISE = 'default';
/** What a miner is called that its program calls so; nothing, and the API key, are `default`: see the gateway. */
export const legacyMinerName = (given: string | undefined): string =>
  (given ?? '').trim().slice(0, NAME_MAX).trim() || OTHERWISE;
