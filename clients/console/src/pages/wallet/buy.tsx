import type { ExchangePayment, ExchangePaymentStatus, ExchangeRates } from '@aitbc/sdk';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { amount } from '../../format.ts';
import { Answer, Failure } from '../../parts/answer.tsx';
import { AmountField, amountIn } from '../../parts/entries.tsx';
import { Badge, Card, Copy, Facts, When } from '../../parts/look.tsx';
import { OFTEN_MS } from '../../queries.ts';
import { api } from '../../session.ts';
import './wallet.css';

const BTC = new Intl.NumberFormat('en', { maximumFractionDigits: 8 });
const btc = (value: number): string => `${BTC.format(value)} BTC`;
const SATOSHI = 100_000_000;

const SAYS: Record<ExchangePaymentStatus['status'], string> = {
  pending: 'Nothing has come yet. Send exactly this amount to this address.',
  processing: 'It is on its way, and counts once enough blocks stand on it.',
  underpaid: 'Less than asked has come. Send the rest, or what came is credited when the time is over.',
  confirmed: 'It is credited.',
  overpaid: 'It is credited, with what was too much.',
  late: 'It came late, and is credited at the rate of the day.',
  expired: 'The time is over, and nothing came.',
};
const isOver = ({ status, credited }: ExchangePaymentStatus): boolean =>
  credited !== null || status === 'expired';

/** A chain that is there for trying out pays by itself. */
const TestCoins = ({ invoice }: { invoice: ExchangePaymentStatus }) => {
  const queries = useQueryClient();
  const pay = useMutation({
    mutationFn: async () => {
      await api().call('payments.dev_bitcoin_send', { body: { payment_id: invoice.payment_id } });
      await api().call('payments.dev_bitcoin_mine', {
        body: { blocks: invoice.confirmations_required },
      });
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ['invoice', invoice.payment_id] }),
  });
  return (
    <div className="stack">
      <p className="small muted">This is a chain for trying out: its coins cost nothing.</p>
      {pay.error === null ? null : <Failure error={pay.error} />}
      <div>
        <button type="button" className="button" disabled={pay.isPending} onClick={() => pay.mutate()}>
          Pay with test coins
        </button>
      </div>
    </div>
  );
};

const Invoice = ({
  id,
  made,
  known,
  isTest,
  onLeave,
}: {
  id: string;
  /** As it was made in this page: that answer alone has the picture and the link. */
  made: ExchangePayment | undefined;
  /** As it stood when the page was opened. */
  known: ExchangePaymentStatus | undefined;
  isTest: boolean;
  onLeave: () => void;
}) => {
  const queries = useQueryClient();
  const invoice = useQuery({
    queryKey: ['invoice', id],
    ...(known === undefined ? {} : { initialData: known }),
    queryFn: async ({ signal }) => {
      const now = await api().exchange.status(id, {}, { signal });
      if (now.credited !== null)
        for (const name of ['balance', 'statement']) void queries.invalidateQueries({ queryKey: [name] });
      return now;
    },
    refetchInterval: ({ state }) => (state.data !== undefined && isOver(state.data) ? false : OFTEN_MS),
  });
  return (
    <Answer query={invoice} lines={6}>
      {(now) => (
        <div className="stack">
          <p role="status">
            <Badge
              state={now.credited === null ? now.status : 'confirmed'}
              {...(now.status === 'underpaid' && now.credited === null ? { tone: 'warn' as const } : {})}
            />{' '}
            {SAYS[now.status]}
          </p>
          <div className="invoice">
            {made === undefined || isOver(now) ? null : (
              <img src={made.qr} alt="The payment as a QR code, for a wallet on a phone" />
            )}
            <Facts
              facts={[
                ['You get', amount(now.credited?.aitbc_amount ?? now.aitbc_amount)],
                ['You send', btc(now.btc_amount)],
                [
                  'To',
                  <span key="to" className="wrap">
                    <span className="mono">{now.payment_address}</span>{' '}
                    <Copy text={now.payment_address} what="the address" />
                  </span>,
                ],
                now.received > 0 ? ['Seen', btc(now.received)] : null,
                now.received > 0
                  ? ['Blocks on it', `${now.confirmations} of ${now.confirmations_required}`]
                  : null,
                isOver(now) ? null : ['The rate holds until', <When key="until" at={now.expires_at} />],
              ]}
            />
          </div>
          {isTest && now.status === 'pending' ? <TestCoins invoice={now} /> : null}
          <div className="row">
            {made === undefined || isOver(now) ? null : (
              <a className="button" data-kind="main" href={made.uri}>
                Open in a wallet
              </a>
            )}
            {isOver(now) ? (
              <button type="button" className="button" onClick={onLeave}>
                Buy more
              </button>
            ) : null}
          </div>
        </div>
      )}
    </Answer>
  );
};

const Wish = ({ rates, onMade }: { rates: ExchangeRates; onMade: (made: ExchangePayment) => void }) => {
  const [value, setValue] = useState('');
  const wanted = amountIn(value);
  const buy = useMutation({
    mutationFn: () => api().exchange.buy({ aitbc_amount: wanted as number }),
    onSuccess: onMade,
  });
  // A satoshi is the least there is: what is less counts as one.
  const asked =
    wanted === undefined ? undefined : Math.ceil((wanted / rates.btc_to_aitbc) * SATOSHI) / SATOSHI;
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        buy.mutate();
      }}
    >
      <AmountField
        label="Amount"
        isRequired
        note={
          asked === undefined || !Number.isFinite(asked)
            ? `1 BTC is ${amount(rates.btc_to_aitbc)}, without a fee. At least ${btc(rates.min_btc)}.`
            : `Costs ${btc(asked)}. The rate holds for ${Math.round(rates.expires_in_seconds / 60)} minutes.`
        }
        value={value}
        onChange={setValue}
      />
      {buy.error === null ? null : <Failure error={buy.error} />}
      <div>
        <button type="submit" className="button" data-kind="main" disabled={buy.isPending}>
          Buy with bitcoin
        </button>
      </div>
    </form>
  );
};

export const useRates = (isAllowed: boolean) =>
  useQuery({
    enabled: isAllowed,
    queryKey: ['rates'],
    queryFn: ({ signal }) => api().exchange.rates({ signal }),
    staleTime: 60_000,
  });
export const useNewestInvoice = (isAllowed: boolean) =>
  useQuery({
    enabled: isAllowed,
    queryKey: ['invoices', 'newest'],
    queryFn: ({ signal }) => api().exchange.list({ limit: 1 }, { signal }).page(),
    staleTime: Number.POSITIVE_INFINITY,
  });

/** Tokens for bitcoin: a wish, then its invoice until it is credited. One that was open before is gone on with. */
export const Buy = () => {
  const [made, setMade] = useState<ExchangePayment>();
  const [hasLeft, setLeft] = useState(false);
  const rates = useRates(true);
  const before = useNewestInvoice(true);
  const open = before.data?.items.find((invoice) => !isOver(invoice));
  const id = made?.payment_id ?? (hasLeft ? undefined : open?.payment_id);
  return (
    <Card title="Buy tokens">
      <Answer query={rates} lines={4}>
        {(now) =>
          id === undefined ? (
            <Wish rates={now} onMade={setMade} />
          ) : (
            <Invoice
              key={id}
              id={id}
              made={made}
              known={open?.payment_id === id ? open : undefined}
              isTest={now.network === 'regtest'}
              onLeave={() => {
                setMade(undefined);
                setLeft(true);
              }}
            />
          )
        }
      </Answer>
    </Card>
  );
};
