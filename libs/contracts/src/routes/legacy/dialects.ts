import { Id } from '../../ids.ts';
import { isRecord } from '../../json.ts';
import { invalidField, notFound } from '../../problem.ts';
import {
  addressNames,
  blockNames,
  type Fields,
  gpuNames,
  itemsNamed,
  orderNames,
  paymentNames,
  receiptNames,
  statementNames,
  transactionNames,
} from './names.ts';

/** The parts of a request that a dialect may look at, as they were sent. */
interface Asked {
  readonly params: Fields;
  readonly query: Fields;
}

/**
 * How programs of the original coordinator say what our own routes understand under the same address: what they send is
 * put into our words before it is checked, and our answer has their names beside ours.
 */
export interface Dialect {
  readonly query?: (query: Fields) => Fields;
  readonly body?: (body: unknown, asked: Asked) => unknown;
  readonly answer?: (body: Fields, asked: Asked) => Fields;
}

const without = (fields: Fields, ...names: string[]): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)));

const withoutNulls = (body: unknown): unknown =>
  isRecord(body) ? Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null)) : body;

/** Ids may stand in the body too, and must then be those of the address. */
const paymentNamed = (body: unknown, { params }: Asked): unknown => {
  const given = withoutNulls(body);
  if (!isRecord(given)) return given;
  const { payment_id: paymentId = params.payment_id } = given;
  if (paymentId !== params.payment_id) throw invalidField('payment_id', 'is not the one in the address');
  return without(given, 'payment_id');
};

/** `{gpu: {name, …}}`, of which the fields that we do not know are for nobody. */
const gpuOffered = (body: unknown): unknown => {
  if (!isRecord(body) || !isRecord(body.gpu)) return body;
  const { gpu } = body;
  return withoutNulls({
    model: gpu.name ?? gpu.model,
    memory_gb: gpu.memory_gb,
    cuda_version: gpu.cuda_version,
    region: gpu.region ?? body.region ?? 'unknown',
    price_per_hour: gpu.price_per_hour,
  });
};

const receiptsAsked = (query: Fields): Fields => {
  const { job_id: jobId } = query;
  if (jobId !== undefined && jobId !== '' && !Id.safeParse(jobId).success) throw notFound('job');
  return without(query, 'status', ...(jobId === '' ? ['job_id'] : []));
};

const payment: Dialect = { answer: paymentNames };

export const dialects: Readonly<Record<string, Dialect>> = {
  'payments.create': { body: withoutNulls, answer: paymentNames },
  'payments.get': payment,
  'payments.get_by_job': payment,
  'payments.release': { body: paymentNamed, answer: paymentNames },
  'payments.refund': { body: paymentNamed, answer: paymentNames },
  'payments.receipt': { answer: statementNames },
  'payments.blocks': { answer: itemsNamed(blockNames) },
  'payments.block': { answer: blockNames },
  'payments.transactions': { answer: itemsNamed(transactionNames) },
  'payments.transaction': { answer: transactionNames },
  'payments.addresses': { answer: itemsNamed(addressNames) },
  'payments.address': { answer: addressNames },
  'jobs.public_receipts': {
    query: receiptsAsked,
    answer: (page, { query }) => ({ ...itemsNamed(receiptNames)(page), jobId: query.job_id ?? 'all' }),
  },
  'jobs.verify_receipt': {
    // A receipt in their form, as the text that our check takes.
    body: (body) =>
      isRecord(body) && body.proof === undefined && isRecord(body.payload)
        ? { proof: JSON.stringify(body) }
        : body,
  },
  'market.register': { body: gpuOffered, answer: gpuNames },
  'market.list': { answer: itemsNamed(gpuNames) },
  'market.get': { answer: gpuNames },
  'market.book': {
    body: (body, { params }) => {
      if (!isRecord(body) || body.gpu_id === undefined) return body;
      if (body.gpu_id !== params.gpu_id) throw invalidField('gpu_id', 'is not the one in the address');
      return withoutNulls(without(body, 'gpu_id'));
    },
    answer: orderNames,
  },
  'market.orders': { answer: itemsNamed(orderNames) },
  'market.order': { answer: orderNames },
  'market.review': { body: withoutNulls },
};
