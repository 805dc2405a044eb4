import { type Chat, createChat } from './chat.ts';
import {
  type AitbcOptions,
  createTransport,
  type Input,
  type OperationName,
  type Reply,
  type RequestOptions,
  type Transport,
} from './http.ts';
import { createJobs, type Jobs } from './jobs/jobs.ts';
import { type Account, createAccount } from './resources/account.ts';
import { type Admin, createAdmin } from './resources/admin.ts';
import { createExplorer, type Explorer } from './resources/explorer.ts';
import { createGovernance, type Governance } from './resources/governance.ts';
import { createGpus, type Gpus } from './resources/market.ts';
import { createMiners, type Miners } from './resources/miners.ts';
import { createExchange, createPayments, type Exchange, type Payments } from './resources/payments.ts';
import { createWebhooks, type Webhooks } from './resources/webhooks.ts';

/** A coordinator, as its public API shows it. Holds no connection; make as many as you like. */
export class Aitbc {
  readonly baseUrl: string;
  readonly jobs: Jobs;
  readonly chat: Chat;
  readonly gpus: Gpus;
  readonly payments: Payments;
  readonly exchange: Exchange;
  readonly governance: Governance;
  readonly explorer: Explorer;
  readonly account: Account;
  readonly webhooks: Webhooks;
  readonly miners: Miners;
  readonly admin: Admin;
  readonly #transport: Transport;

  constructor(options: AitbcOptions) {
    const transport = createTransport(options);
    this.#transport = transport;
    this.baseUrl = transport.baseUrl;
    this.jobs = createJobs(transport);
    this.chat = createChat(transport);
    this.gpus = createGpus(transport);
    this.payments = createPayments(transport);
    this.exchange = createExchange(transport);
    this.governance = createGovernance(transport);
    this.explorer = createExplorer(transport);
    this.account = createAccount(transport);
    this.webhooks = createWebhooks(transport);
    this.miners = createMiners(transport);
    this.admin = createAdmin(transport);
  }

  /** Any operation of the API by the name in its description, with the same types, retries and errors. */
  call<N extends OperationName>(name: N, input: Input<N>, options?: RequestOptions): Promise<Reply<N>> {
    return this.#transport.call(name, input, options);
  }
}
