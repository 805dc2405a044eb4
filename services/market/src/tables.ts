import type { OrderReason, OrderStatus, PricingStrategy } from '@aitbc/contracts';
import type { Generated } from 'kysely';

interface OwnerTable {
  account_id: string;
  offers: Generated<number>;
  interruptions: Generated<number>;
  /** Sums of weights, those that everybody begins with included: see domain/rating. */
  rating_weighted: Generated<number>;
  rating_weight: Generated<number>;
  /** Their quotient. */
  rating: Generated<number>;
  /** Accounts whose paid bookings the rating comes from. */
  reviewer_count: Generated<number>;
}

interface GpuTable {
  id: string;
  owner_id: string;
  miner_id: string | null;
  /** As its owner wrote it. */
  model: string;
  /** In the form in which names of cards are compared. */
  model_key: string;
  memory_gb: number;
  cuda_version: string | null;
  region: string;
  /** JSON array of strings. */
  capabilities: string;
  pricing: PricingStrategy;
  /** What the owner asked for. */
  base_minor: number;
  /** The price now. */
  price_minor: number;
  reprice_at_ms: number | null;
  /** The owner's own switch. */
  is_offered: number;
  /** Null while its miner is there. */
  absent_since_ms: number | null;
  /** The order whose window runs now, or that waits for its money and starts at once. */
  booked_order_id: string | null;
  /** 1 while a paid booking by somebody else than the owner runs. */
  is_rented: number;
  /** Its owner's, so that lists are sorted by it. */
  rating_weighted: number;
  rating_weight: number;
  rating: number;
  reviewer_count: number;
  /** Offered, present, not booked and not withdrawn; held to it by a CHECK. */
  is_available: number;
  created_at_ms: number;
  updated_at_ms: number;
  withdrawn_at_ms: number | null;
}

interface OrderTable {
  id: string;
  gpu_id: string;
  model: string;
  booker_id: string;
  owner_id: string;
  job_id: string | null;
  status: OrderStatus;
  reason: OrderReason | null;
  price_minor: number;
  minutes: number;
  amount_minor: number;
  start_at_ms: number;
  end_at_ms: number;
  /** Cancelled when payments has not answered by then. */
  hold_until_ms: number;
  has_begun: number;
  payment_id: string | null;
  used_minutes: number | null;
  pay_minor: number | null;
  created_at_ms: number;
  updated_at_ms: number;
  ended_at_ms: number | null;
  settled_at_ms: number | null;
  /** When to say booking_ended again; null once payments has settled, or holds nothing. */
  nudge_at_ms: number | null;
}

interface ReviewTable {
  id: string;
  gpu_id: string;
  order_id: string;
  reviewer_id: string;
  rating: number;
  comment: string | null;
  created_at_ms: number;
}

interface PriceHistoryTable {
  gpu_id: string;
  at_ms: number;
  price_minor: number;
  base_minor: number;
  /** Null, as are the next three, when the owner set the price. */
  previous_minor: number | null;
  utilization: number | null;
  competing_offers: number | null;
  competing_available: number | null;
}

interface ModelStatsTable {
  model: string;
  total: number;
  available: number;
  rented: number;
  price_sum_whole: number;
  price_sum_minor: number;
  rented_gpu_ms: number;
  offered_gpu_ms: number;
  accrued_at_ms: number;
}

export interface Tables {
  opinion: {
    owner_id: string;
    reviewer_id: string;
    rating: number;
    paid_minor: number;
    weight: number;
  };
  owner: OwnerTable;
  miner: { id: string; account_id: string; revision: number; is_active: number };
  gpu: GpuTable;
  orders: OrderTable;
  /** The windows taken: one row for each order that is pending_payment or active. */
  reservation: { order_id: string; gpu_id: string; start_at_ms: number; end_at_ms: number };
  review: ReviewTable;
  price_history: PriceHistoryTable;
  model_stats: ModelStatsTable;
  model_hour: {
    model: string;
    hour_at_ms: number;
    rented: number;
    available: number;
    rented_gpu_ms: number;
    offered_gpu_ms: number;
  };
}

export type Gpu = GpuTable;
export type Order = OrderTable;
export type Review = ReviewTable;
export type PriceEntry = PriceHistoryTable;
export type ModelStats = ModelStatsTable;
