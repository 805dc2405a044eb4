import { type GpuOffer, NotFoundError } from '@aitbc/sdk';
import { useMutation, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { amount } from '../../format.ts';
import { Failure } from '../../parts/answer.tsx';
import { Confirm } from '../../parts/confirm.tsx';
import { AmountField, amountIn } from '../../parts/entries.tsx';
import { api } from '../../session.ts';
import { useMarketRefresh } from './orders.ts';

const MODEL_MAX = 100;

/** What others ask for the same model; nothing while nobody offers it. */
const Suggestion = ({ model }: { model: string }) => {
  const pricing = useQuery({
    enabled: model !== '',
    queryKey: ['gpus', 'suggested', model],
    queryFn: async ({ signal }) => {
      try {
        return await api().gpus.pricing(model, { signal });
      } catch (error) {
        if (error instanceof NotFoundError) return null;
        throw error;
      }
    },
  });
  const { data } = pricing;
  if (data === undefined) return 'What others ask is shown when the model is written.';
  if (data === null) return 'Nobody offers this model yet.';
  return `Others ask ${amount(data.min_price)} to ${amount(data.max_price)}; ${amount(data.suggested_price)} is suggested.`;
};

export const MakeOffer = ({ onDone }: { onDone: () => void }) => {
  const refresh = useMarketRefresh();
  const [model, setModel] = useState('');
  const [memory, setMemory] = useState('24');
  const [region, setRegion] = useState('');
  const [cuda, setCuda] = useState('');
  const [price, setPrice] = useState('');
  const [isMoving, setMoving] = useState(false);
  const [named, setNamed] = useState('');
  const offer = useMutation({
    mutationFn: () =>
      api().gpus.offer({
        model: model.trim(),
        memory_gb: Number(memory),
        region: region.trim(),
        price_per_hour: amountIn(price) ?? 0,
        pricing: isMoving ? 'dynamic' : 'fixed',
        ...(cuda.trim() === '' ? {} : { cuda_version: cuda.trim() }),
      }),
    onSuccess: onDone,
    onSettled: refresh,
  });
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        offer.mutate();
      }}
    >
      <div className="grid">
        <label className="field">
          <span>Model</span>
          <input
            required
            maxLength={MODEL_MAX}
            placeholder="RTX 4090"
            value={model}
            onChange={({ target }) => setModel(target.value)}
            onBlur={() => setNamed(model.trim())}
          />
        </label>
        <label className="field">
          <span>Memory, in GB</span>
          <input
            required
            type="number"
            min="1"
            max="10000"
            step="any"
            value={memory}
            onChange={({ target }) => setMemory(target.value)}
          />
        </label>
        <label className="field">
          <span>Region</span>
          <input
            required
            maxLength={MODEL_MAX}
            placeholder="eu-central"
            value={region}
            onChange={({ target }) => setRegion(target.value)}
          />
        </label>
        <label className="field">
          <span>CUDA, if it has it</span>
          <input
            pattern="\d{1,3}(\.\d{1,3})?"
            title="A version like 12.4"
            placeholder="12.4"
            value={cuda}
            onChange={({ target }) => setCuda(target.value)}
          />
        </label>
      </div>
      <AmountField
        label="An hour costs"
        isRequired
        value={price}
        onChange={setPrice}
        note={<Suggestion model={named} />}
      />
      <label className="check">
        <input type="checkbox" checked={isMoving} onChange={({ target }) => setMoving(target.checked)} />
        Let the price move with demand, between half and twice of this
      </label>
      {offer.error === null ? null : <Failure error={offer.error} />}
      <div className="row">
        <button type="submit" className="button" data-kind="main" disabled={offer.isPending}>
          Offer it
        </button>
        <button type="button" className="button" onClick={onDone}>
          Not now
        </button>
      </div>
    </form>
  );
};

/** The price of an offer, whether it can be booked, and its end. */
export const ChangeOffer = ({ gpu }: { gpu: GpuOffer }) => {
  const refresh = useMarketRefresh();
  const [price, setPrice] = useState(String(gpu.base_price_per_hour));
  const [isMoving, setMoving] = useState(gpu.pricing === 'dynamic');
  const [isOffered, setOffered] = useState(true);
  const change = useMutation({
    mutationFn: () =>
      api().gpus.change(gpu.id, {
        price_per_hour: amountIn(price),
        pricing: isMoving ? 'dynamic' : 'fixed',
        available: isOffered,
      }),
    onSettled: refresh,
  });
  const withdraw = useMutation({ mutationFn: () => api().gpus.withdraw(gpu.id), onSettled: refresh });
  const error = change.error ?? withdraw.error;
  return (
    <>
      <Confirm
        action="Change"
        kind="plain"
        about={gpu.model}
        title={`Change the offer of ${gpu.model}?`}
        isBusy={change.isPending}
        isReady={/^\d{0,8}(\.\d{1,8})?$/.test(price) && Number(price) > 0}
        onConfirm={() => change.mutate()}
        fields={
          <>
            <AmountField label="An hour costs" value={price} onChange={setPrice} />
            <label className="check">
              <input
                type="checkbox"
                checked={isMoving}
                onChange={({ target }) => setMoving(target.checked)}
              />
              Let the price move with demand
            </label>
            <label className="check">
              <input
                type="checkbox"
                checked={isOffered}
                onChange={({ target }) => setOffered(target.checked)}
              />
              It can be booked
            </label>
          </>
        }
      >
        What is booked already keeps its price and its time.
      </Confirm>
      <Confirm
        action="Withdraw"
        about={gpu.model}
        title={`Take ${gpu.model} off the market?`}
        isBusy={withdraw.isPending}
        onConfirm={() => withdraw.mutate()}
      >
        Its bookings, receipts and reviews stay. While a booking of it is open this is refused.
      </Confirm>
      {error === null ? null : <Failure error={error} />}
    </>
  );
};
