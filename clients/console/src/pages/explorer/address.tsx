import { useQuery } from '@tanstack/react-query';
import { Link, useParams } from '@tanstack/react-router';
import { amount, count, words } from '../../format.ts';
import { Answer } from '../../parts/answer.tsx';
import { Card, Copy, Empty, Facts, Head, When } from '../../parts/look.tsx';
import { SOMETIMES_MS } from '../../queries.ts';
import { api } from '../../session.ts';
import { Transfers } from './transfers.tsx';

export const AddressPage = () => {
  const { address } = useParams({ from: '/explorer/addresses/$address' });
  const query = useQuery({
    queryKey: ['address', address],
    queryFn: ({ signal }) => api().explorer.address(address, { signal }),
    refetchInterval: SOMETIMES_MS,
  });
  const missing = (
    <section className="card">
      <Empty title="There is no such address">
        <Link to="/explorer" className="button">
          To the explorer
        </Link>
      </Empty>
    </section>
  );
  return (
    <>
      <Head title="Address" />
      <Answer query={query} missing={missing}>
        {(found) => (
          <>
            <Card>
              <Facts
                facts={[
                  [
                    'Address',
                    <span key="address" className="row">
                      <span className="mono wrap">{found.address}</span>
                      <Copy text={found.address} what="the address" />
                    </span>,
                  ],
                  ['Kind', words(found.kind)],
                  ['Holds', amount(found.balance)],
                  ['Transfers', count(found.tx_count)],
                  found.account_id === null
                    ? null
                    : [
                        'Account',
                        <span key="account" className="mono wrap">
                          {found.account_id}
                        </span>,
                      ],
                  ['First seen', <When key="first" at={found.first_seen} />],
                  ['Last seen', <When key="last" at={found.last_seen} />],
                ]}
              />
            </Card>
            <Card title="Latest transfers">
              <Transfers items={found.recent_transactions} />
            </Card>
          </>
        )}
      </Answer>
    </>
  );
};
