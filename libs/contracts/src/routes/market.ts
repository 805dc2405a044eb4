import { z } from 'zod';
import { Id, Timestamp } from '../ids.ts';
import { Amount, AmountOut, Price } from '../money.ts';
import { Page, PageQuery } from '../page.ts';
import { DecimalNumber } from '../query.ts';
import { defineRoute } from '../route.ts';
import { Text } from '../text.ts';

/** A model is part of a path: no slash, no leading or trailing blank. */
const GpuModel = z
  .string()
  .max(100)
  .regex(
    /^[A-Za-z0-9]([A-Za-z0-9 ._+()-]*[A-Za-z0-9)+])?$/,
    'must be letters, digits, blanks and . _ + ( ) -',
  )
  .meta({ example: 'RTX 4090' });
const Region = z
  .string()
  .max(100)
  .regex(/^[A-Za-z0-9]([A-Za-z0-9 ._-]*[A-Za-z0-9])?$/, 'must be letters, digits, blanks and . _ -')
  .meta({ example: 'eu-central' });
const MemoryGb = z.number().gt(0).max(10_000);
const CudaVersion = z.string().regex(/^\d{1,3}(\.\d{1,3})?$/, 'must look like 12.4');

export const PricingStrategy = z.enum(['fixed', 'dynamic']);
export type PricingStrategy = z.infer<typeof PricingStrategy>;

export const GpuRegistration = z
  .strictObject({
    model: GpuModel,
    memory_gb: MemoryGb.meta({ example: 24 }),
    cuda_version: CudaVersion.optional(),
    region: Region,
    price_per_hour: Amount.meta({ description: 'AITBC; the base when pricing is dynamic', example: 0.5 }),
    pricing: PricingStrategy.default('fixed'),
    capabilities: z.array(z.string().min(1).max(64)).max(64).default([]),
    miner_id: Id.optional().meta({
      description:
        'The registered miner that this GPU stands in. Without it the GPU counts as present while any miner of the account is active, or when the account has none',
    }),
  })
  .meta({ id: 'GpuRegistration' });
export type GpuRegistration = z.output<typeof GpuRegistration>;

export const GpuOffer = z
  .strictObject({
    id: Id,
    owner_id: Id,
    miner_id: Id.nullable(),
    model: z.string(),
    memory_gb: z.number(),
    cuda_version: z.string().nullable(),
    region: z.string(),
    capabilities: z.array(z.string()),
    available: z
      .boolean()
      .meta({ description: 'Offered by its owner, its miner alive, and not booked at this moment' }),
    booked: z.boolean().meta({ description: 'A booking runs at this moment' }),
    pricing: PricingStrategy,
    price_per_hour: AmountOut.meta({ description: 'The price now, AITBC' }),
    base_price_per_hour: AmountOut.meta({ description: 'What the owner asked for, AITBC' }),
    currency: z.string(),
    rating: z.number().min(1).max(5).nullable().meta({
      description:
        'Of its owner, over all that it offers and ever offered: (5 × 3 + Σ weight × stars) / (5 + Σ weight). Each account that paid counts once, by its latest review, with the weight log2(1 + paid / 1 AITBC), 2 at most; paid is what its reviewed bookings with this owner paid. Null while all weights together are below 0.01',
    }),
    rating_count: z
      .number()
      .int()
      .meta({ description: 'Accounts whose paid and reviewed bookings the rating comes from' }),
    rating_weight: z.number().meta({ description: 'The sum of their weights' }),
    owner_interruptions: z
      .number()
      .int()
      .meta({ description: 'Bookings this owner broke off, by release or by absence, over all its GPUs' }),
    created_at: Timestamp,
    updated_at: Timestamp,
  })
  .meta({ id: 'GpuOffer' });

/** Everything that a price came from: with these and the published rules anyone can compute it again. */
export const PriceFactors = z
  .strictObject({
    base_price: AmountOut.meta({ description: 'The owner’s base; for a model, the median of its offers' }),
    previous_price: AmountOut,
    utilization_24h: z
      .number()
      .min(0)
      .max(1)
      .meta({ description: 'Booked share of the time that GPUs of this model were offered' }),
    competing_offers: z.number().int().meta({ description: 'Other offers of the model' }),
    competing_available: z.number().int().meta({ description: 'Of these, the ones free to book' }),
    demand_factor: z.number().meta({
      description: '0.5 + utilization_24h up to a utilisation of 0.5, then 2 × utilization_24h',
    }),
    competition_factor: z.number().meta({
      description: '1.25 − 0.5 × competing_available / competing_offers; 1 without competing offers',
    }),
    multiplier: z
      .number()
      .min(0.5)
      .max(2)
      .meta({ description: 'demand_factor × competition_factor, kept between 0.5 and 2' }),
    target_price: AmountOut.meta({ description: 'base_price × multiplier' }),
    step_min: AmountOut.meta({ description: 'The lowest price one step allows: previous_price − 10 %' }),
    step_max: AmountOut.meta({ description: 'The highest price one step allows: previous_price + 10 %' }),
    price: AmountOut.meta({ description: 'target_price, kept between step_min and step_max' }),
    computed_at: Timestamp,
  })
  .meta({ id: 'PriceFactors' });

const Window = z.strictObject({ start_time: Timestamp, end_time: Timestamp });

export const GpuOfferDetail = GpuOffer.extend({
  current_booking: Window.nullable(),
  upcoming_bookings: z.array(Window).meta({ description: 'The next windows already taken, at most 20' }),
  price_factors: PriceFactors.nullable().meta({ description: 'Of the last step; null for a fixed price' }),
  price_history: z
    .array(z.strictObject({ price_per_hour: AmountOut, at: Timestamp }))
    .meta({ description: 'Newest first, at most 20' }),
}).meta({ id: 'GpuOfferDetail' });

export const OrderStatus = z.enum(['pending_payment', 'active', 'ended', 'settled', 'cancelled']);
export type OrderStatus = z.infer<typeof OrderStatus>;

const OrderFilter = z
  .enum([...OrderStatus.options, 'completed'])
  .meta({ description: '`completed` is ended or settled' });

/** Why an order was cancelled (the first four) or ended. */
export const OrderReason = z.enum([
  'INSUFFICIENT_FUNDS',
  'SPEND_CAP_EXCEEDED',
  'PAYMENT_TIMEOUT',
  'WITHDRAWN',
  'COMPLETED',
  'RELEASED_BY_BOOKER',
  'RELEASED_BY_OWNER',
  'MINER_ABSENT',
  'REFUNDED_BY_OPERATOR',
]);
export type OrderReason = z.infer<typeof OrderReason>;

export const Order = z
  .strictObject({
    id: Id,
    gpu_id: Id,
    gpu_model: z.string(),
    booker_id: Id,
    owner_id: Id,
    job_id: Id.nullable(),
    status: OrderStatus,
    reason: OrderReason.nullable().meta({ description: 'Why it was cancelled or ended' }),
    start_time: Timestamp.meta({
      description: 'Provisional while pending_payment: the window begins when the money is held',
    }),
    end_time: Timestamp,
    duration_hours: z.number(),
    price_per_hour: AmountOut.meta({ description: 'Agreed at booking; later price changes do not touch it' }),
    amount: AmountOut.meta({ description: 'Held in escrow' }),
    currency: z.string(),
    payment_id: Id.nullable(),
    used_minutes: z.number().int().nullable(),
    paid: AmountOut.nullable().meta({
      description: 'What the owner gets, before the fee; null until it ended',
    }),
    refunded: AmountOut.nullable(),
    created_at: Timestamp,
    updated_at: Timestamp,
    ended_at: Timestamp.nullable(),
    settled_at: Timestamp.nullable(),
  })
  .meta({ id: 'Order' });
export type Order = z.infer<typeof Order>;

export const Review = z
  .strictObject({
    id: Id,
    gpu_id: Id,
    order_id: Id,
    reviewer_id: Id,
    rating: z.number().int().min(1).max(5),
    comment: z.string().nullable(),
    created_at: Timestamp,
  })
  .meta({ id: 'Review' });

export const ModelPricing = z
  .strictObject({
    model: z.string(),
    currency: z.string(),
    min_price: AmountOut,
    max_price: AmountOut,
    average_price: AmountOut,
    median_price: AmountOut,
    available: z.number().int(),
    total: z.number().int(),
    utilization_24h: z.number().min(0).max(1),
    suggested_price: AmountOut,
    factors: PriceFactors,
  })
  .meta({ id: 'ModelPricing' });

const GpuParams = z.strictObject({ gpu_id: Id });
const base = { service: 'market', tag: 'Market' } as const;
const asOwner = { ...base, who: ['miner'], rate: 'miner' } as const;
const asClient = { ...base, who: ['client'], rate: 'client' } as const;
const asAnyone = { ...base, who: ['public'], rate: 'public' } as const;

/** A minute: what the meter counts. The tolerance lets 1/60 in any rounding through. */
const isAtLeastOneMinute = (hours: number): boolean => hours * 60 > 0.999;
const QueryPrice = DecimalNumber(Price);

export const marketRoutes = {
  register: defineRoute({
    ...asOwner,
    name: 'market.register',
    method: 'POST',
    path: '/v1/marketplace/gpu/register',
    summary: 'Offer a GPU',
    idempotent: true,
    body: GpuRegistration,
    responses: { 201: GpuOffer },
    errors: ['MINER_NOT_REGISTERED', 'GPU_LIMIT_REACHED', 'IDEMPOTENCY_KEY_REUSED'],
  }),
  list: defineRoute({
    ...asAnyone,
    name: 'market.list',
    method: 'GET',
    path: '/v1/marketplace/gpu/list',
    summary: 'Find GPUs',
    description:
      'Newest first; `sort=price` cheapest first, `sort=rating` best first, `sort=memory` largest first. A cursor belongs to the sort it came from.',
    query: PageQuery.extend({
      available: z.enum(['true', 'false']).optional(),
      model: z
        .string()
        .min(1)
        .max(100)
        .optional()
        .meta({ description: 'Case, blanks and dashes do not matter: `rtx-4090` finds `RTX 4090`' }),
      region: z.string().min(1).max(100).optional(),
      owner_id: Id.optional().meta({ description: 'What this account offers' }),
      price_min: QueryPrice.optional(),
      price_max: QueryPrice.optional(),
      memory_min: DecimalNumber(z.number().gte(0).max(10_000)).optional(),
      sort: z.enum(['price', 'rating', 'memory']).optional(),
    }),
    responses: { 200: Page(GpuOffer) },
  }),
  get: defineRoute({
    ...asAnyone,
    name: 'market.get',
    method: 'GET',
    path: '/v1/marketplace/gpu/:gpu_id',
    summary: 'One GPU, with its booking and its price',
    params: GpuParams,
    responses: { 200: GpuOfferDetail },
  }),
  change: defineRoute({
    ...asOwner,
    name: 'market.change',
    method: 'PATCH',
    path: '/v1/marketplace/gpu/:gpu_id',
    summary: 'Change price, pricing or availability',
    description: 'Bookings already made keep their price and their window.',
    params: GpuParams,
    body: z
      .strictObject({
        price_per_hour: Amount.optional(),
        pricing: PricingStrategy.optional(),
        available: z.boolean().optional(),
      })
      .refine((value) => Object.keys(value).length > 0, 'names nothing to change'),
    responses: { 200: GpuOffer },
  }),
  withdraw: defineRoute({
    ...asOwner,
    name: 'market.withdraw',
    method: 'DELETE',
    path: '/v1/marketplace/gpu/:gpu_id',
    summary: 'Take a GPU off the market',
    params: GpuParams,
    responses: { 204: z.void() },
    errors: ['GPU_BOOKED'],
  }),
  book: defineRoute({
    ...asClient,
    name: 'market.book',
    method: 'POST',
    path: '/v1/marketplace/gpu/:gpu_id/book',
    summary: 'Rent a GPU',
    description:
      'The price of the minutes, rounded up to 0.00000001 AITBC, is held in escrow. The answer waits up to 2 s for that: `active` when held, 402 when refused, `pending_payment` when it takes longer (the order cancels itself after 30 s without an answer). The window begins at start_time, or when the money is held if that is later.',
    idempotent: true,
    params: GpuParams,
    body: z.strictObject({
      duration_hours: z
        .number()
        .gt(0)
        .max(720)
        .refine(isAtLeastOneMinute, 'must be at least one minute')
        .meta({ description: 'At least a minute; rounded to whole minutes', example: 1.5 }),
      start_time: Timestamp.optional().meta({ description: 'Now when absent; at most 30 days ahead' }),
      job_id: Id.optional().meta({ description: 'For your own bookkeeping' }),
      max_price_per_hour: Amount.optional(),
    }),
    responses: { 201: Order },
    errors: [
      'GPU_NOT_AVAILABLE',
      'PRICE_ABOVE_LIMIT',
      'INSUFFICIENT_FUNDS',
      'SPEND_CAP_EXCEEDED',
      'IDEMPOTENCY_KEY_REUSED',
    ],
  }),
  release: defineRoute({
    ...base,
    who: ['client', 'miner'],
    rate: 'client',
    name: 'market.release',
    method: 'POST',
    path: '/v1/marketplace/gpu/:gpu_id/release',
    summary: 'End a booking now',
    description:
      'By its booker: each started minute is paid, at least one, and the rest comes back; before its window begins nothing is paid. By the GPU’s owner: only whole minutes are paid, and the break is counted in `owner_interruptions`. Before the money is held the order is cancelled.',
    idempotent: true,
    params: GpuParams,
    query: z.strictObject({
      order_id: Id.optional().meta({
        description: 'Which booking of this GPU; the one running, else the next, when absent',
      }),
    }),
    responses: { 200: Order },
    errors: ['ORDER_ALREADY_ENDED', 'IDEMPOTENCY_KEY_REUSED'],
  }),
  reviews: defineRoute({
    ...asAnyone,
    name: 'market.reviews',
    method: 'GET',
    path: '/v1/marketplace/gpu/:gpu_id/reviews',
    summary: 'Reviews of a GPU',
    params: GpuParams,
    query: PageQuery,
    responses: { 200: Page(Review) },
  }),
  review: defineRoute({
    ...asClient,
    name: 'market.review',
    method: 'POST',
    path: '/v1/marketplace/gpu/:gpu_id/reviews',
    summary: 'Review a GPU after a booking of it',
    description:
      'One review for each booking that ran and ended, also of a GPU that was withdrawn since; never by the owner. It counts by what the booking paid, once that is settled; one that paid nothing is shown and does not count.',
    idempotent: true,
    params: GpuParams,
    body: z.strictObject({
      rating: z.number().int().min(1).max(5),
      comment: Text(1, 1_000).optional(),
      order_id: Id.optional().meta({ description: 'Which booking; the latest without a review when absent' }),
    }),
    responses: { 201: Review },
    errors: ['REVIEW_NOT_ALLOWED', 'ALREADY_REVIEWED', 'IDEMPOTENCY_KEY_REUSED'],
  }),
  orders: defineRoute({
    ...base,
    who: ['client', 'miner', 'admin'],
    rate: 'client',
    name: 'market.orders',
    method: 'GET',
    path: '/v1/marketplace/orders',
    summary: 'Own orders, as booker or owner; all of them for an operator',
    query: PageQuery.extend({ status: OrderFilter.optional() }),
    responses: { 200: Page(Order) },
  }),
  order: defineRoute({
    ...base,
    who: ['client', 'miner', 'admin'],
    rate: 'client',
    name: 'market.order',
    method: 'GET',
    path: '/v1/marketplace/orders/:order_id',
    summary: 'One order of one’s own',
    params: z.strictObject({ order_id: Id }),
    responses: { 200: Order },
  }),
  pricing: defineRoute({
    ...asAnyone,
    name: 'market.pricing',
    method: 'GET',
    path: '/v1/marketplace/pricing/:model',
    summary: 'What a GPU model costs, and what to ask for it',
    description:
      'Prices are AITBC an hour over all offers of the model, however its name is written (case, blanks and dashes do not matter). The suggestion is one step of the dynamic price, taken from the median.',
    params: z.strictObject({ model: z.string().min(1).max(100) }),
    responses: { 200: ModelPricing },
  }),
} as const;
