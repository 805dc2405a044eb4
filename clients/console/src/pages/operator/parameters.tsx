import type { GovernedParameter } from '@aitbc/sdk';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { words } from '../../format.ts';
import { Answer, Failure } from '../../parts/answer.tsx';
import { Confirm } from '../../parts/confirm.tsx';
import { Entries, Entry } from '../../parts/entries.tsx';
import { Badge, Card, When } from '../../parts/look.tsx';
import { SOMETIMES_MS } from '../../queries.ts';
import { api } from '../../session.ts';

/** As the contract has it: everybody can read the reason. */
const REASON_MIN = 10;
const REASON_MAX = 500;

const shown = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));
const isAtDefault = ({ value, default: first }: GovernedParameter): boolean =>
  JSON.stringify(value) === JSON.stringify(first);

const Reset = ({ parameter }: { parameter: GovernedParameter }) => {
  const queries = useQueryClient();
  const [reason, setReason] = useState('');
  const reset = useMutation({
    mutationFn: () => api().admin.resetParameter(parameter.name, { reason: reason.trim() }),
    onSettled: () => queries.invalidateQueries({ queryKey: ['parameters'] }),
  });
  return (
    <>
      <Confirm
        action="Reset"
        about={words(parameter.name)}
        title={`Set ${words(parameter.name)} to its default?`}
        isBusy={reset.isPending}
        isReady={reason.trim().length >= REASON_MIN}
        onConfirm={() => reset.mutate()}
        fields={
          <label className="field">
            <span>Why, for everybody to read</span>
            <textarea
              maxLength={REASON_MAX}
              value={reason}
              onChange={({ target }) => setReason(target.value)}
            />
            <small>At least {REASON_MIN} characters.</small>
          </label>
        }
      >
        It becomes {shown(parameter.default)} at once. This overrules a vote: the history of the parameter
        shows that you did it, and why.
      </Confirm>
      {reset.error === null ? null : <Failure error={reset.error} />}
    </>
  );
};

export const Parameters = () => {
  const parameters = useQuery({
    queryKey: ['parameters'],
    queryFn: ({ signal }) => api().call('governance.parameters', {}, { signal }),
    refetchInterval: SOMETIMES_MS,
  });
  return (
    <Card title="Parameters">
      <Answer query={parameters} lines={12}>
        {({ items }) => (
          <Entries name="Parameters">
            {/* What was changed comes first: the rest has nothing to reset. */}
            {[...items]
              .sort((a, b) => Number(isAtDefault(a)) - Number(isAtDefault(b)))
              .map((parameter) => (
                <Entry
                  key={parameter.name}
                  title={words(parameter.name)}
                  state={
                    isAtDefault(parameter) ? undefined : (
                      <Badge state={parameter.proposal_id === null ? 'changed' : 'voted'} tone="warn" />
                    )
                  }
                  actions={isAtDefault(parameter) ? undefined : <Reset parameter={parameter} />}
                >
                  <p>{parameter.description}</p>
                  <p>
                    <strong>
                      <bdi>{shown(parameter.value)}</bdi>
                    </strong>
                    {isAtDefault(parameter) ? null : (
                      <>
                        , by default <bdi>{shown(parameter.default)}</bdi>
                      </>
                    )}{' '}
                    · {parameter.service}
                    {parameter.changed_at === null ? null : (
                      <>
                        {' '}
                        · changed <When at={parameter.changed_at} isRelative />
                      </>
                    )}
                    {parameter.reset_reason === null ? null : (
                      <>
                        {' '}
                        · reset: <bdi>{parameter.reset_reason}</bdi>
                      </>
                    )}
                  </p>
                </Entry>
              ))}
          </Entries>
        )}
      </Answer>
    </Card>
  );
};
