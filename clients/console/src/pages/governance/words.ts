import type { GovernedParameter, Proposal } from '@aitbc/sdk';
import { count } from '../../format.ts';
import type { Tone } from '../../parts/look.tsx';

// Parameters and proposals in words.

export const shown = (value: unknown): string =>
  typeof value === 'number'
    ? count(value)
    : typeof value === 'boolean'
      ? value
        ? 'on'
        : 'off'
      : Array.isArray(value)
        ? value.map(String).join(', ')
        : typeof value === 'string'
          ? value
          : JSON.stringify(value);

/** What kind of field a parameter takes, with its range; a newer coordinator may have kinds that are not known here. */
export type Kind =
  | { readonly of: 'number'; readonly min: number; readonly max: number; readonly isWhole: boolean }
  | { readonly of: 'switch' }
  | { readonly of: 'list'; readonly entries: readonly string[] }
  | { readonly of: 'json' };

export const kindOf = ({ bounds }: GovernedParameter): Kind => {
  const { type, minimum, maximum, items } = bounds as Record<string, unknown>;
  if (type === 'boolean') return { of: 'switch' };
  if ((type === 'integer' || type === 'number') && typeof minimum === 'number' && typeof maximum === 'number')
    return { of: 'number', min: minimum, max: maximum, isWhole: type === 'integer' };
  const entries: unknown = (items as { enum?: unknown } | undefined)?.enum;
  if (type === 'array' && Array.isArray(entries)) return { of: 'list', entries: entries.map(String) };
  return { of: 'json' };
};

/** Where one vote may bring a number: its step from today's value, within its bounds. */
export const reach = (
  parameter: GovernedParameter,
  { min, max, isWhole }: Kind & { of: 'number' },
): readonly [number, number] => {
  const now = Number(parameter.value);
  const step = parameter.largest_step;
  if (step === null || 'removes' in step || Number.isNaN(now)) return [min, max];
  const [low, high] = 'by' in step ? [now - step.by, now + step.by] : [now / step.times, now * step.times];
  // A sum of decimals is no longer one: 0.1 + 0.2.
  const exact = (value: number) => Math.round(value * 1e6) / 1e6;
  return [
    Math.max(min, isWhole ? Math.ceil(low) : exact(low)),
    Math.min(max, isWhole ? Math.floor(high) : exact(high)),
  ];
};

export const boundsOf = (parameter: GovernedParameter): string => {
  const kind = kindOf(parameter);
  switch (kind.of) {
    case 'number':
      return `${count(kind.min)} to ${count(kind.max)}`;
    case 'switch':
      return 'on or off';
    case 'list':
      return `any of ${kind.entries.join(', ')}`;
    default:
      return JSON.stringify(parameter.bounds);
  }
};

/** What one vote may do to it. */
export const stepOf = ({ largest_step: step }: GovernedParameter): string =>
  step === null
    ? 'sets any value'
    : 'by' in step
      ? `moves it by ${count(step.by)}`
      : 'times' in step
        ? `makes it up to ${count(step.times)} times larger or smaller`
        : `takes out up to ${count(step.removes)} entries, adds any`;

const TYPES: Record<Proposal['type'], string> = {
  parameter_change: 'a parameter',
  fund_allocation: 'a payment of the treasury',
  policy_change: 'a policy',
  protocol_upgrade: 'a release',
};
export const typeWords = (type: Proposal['type']): string => TYPES[type] ?? type;

const TONES: Record<Proposal['status'], Tone> = {
  active: 'busy',
  passed: 'good',
  queued: 'warn',
  executed: 'good',
  rejected: 'bad',
  cancelled: 'still',
  execution_failed: 'bad',
};
export const toneOf = (status: Proposal['status']): Tone => TONES[status] ?? 'still';
