import type { Input, Operations } from '@aitbc/sdk';
import type { Command } from 'commander';
import { collect, count, number } from '../arguments.ts';
import type { Context } from '../context.ts';
import type { Act } from '../program.ts';

type Order = Operations['market.book']['reply'];

const showOrder = ({ output }: Context, order: Order): void => {
  if (output.isJson) {
    output.json(order);
    return;
  }
  output.record({
    order: order.id,
    gpu: `${order.gpu_model} ${order.gpu_id}`,
    status: order.status,
    from: order.start_time,
    until: order.end_time,
    'per hour': `${order.price_per_hour} AITBC`,
    held: `${order.amount} AITBC`,
    paid: order.paid,
    refunded: order.refunded,
  });
};

export const addGpus = (program: Command, act: Act): void => {
  const gpus = program.command('gpus').description('GPUs by the hour');
  gpus
    .command('list')
    .description('Find GPUs')
    .option('--model <model>')
    .option('--region <region>')
    .option('--max-price <aitbc>', 'an hour at most', number)
    .option('--min-memory <gb>', '', number)
    .option('--sort <by>', 'price, rating or memory')
    .option('--all', 'also those that cannot be booked now')
    .option('-n, --limit <n>', 'at most so many', count, 20)
    .addHelpText('after', "\nExample:\n  aitbc gpus list --model 'RTX 4090' --sort price")
    .action(
      act(
        async (
          { client, output, signal },
          options: {
            model?: string;
            region?: string;
            maxPrice?: number;
            minMemory?: number;
            sort?: 'price';
            all?: true;
            limit: number;
          },
        ) => {
          const found = await client.gpus
            .list(
              {
                model: options.model,
                region: options.region,
                price_max: options.maxPrice,
                memory_min: options.minMemory,
                sort: options.sort,
                ...(options.all === true ? {} : { available: true }),
              },
              { signal },
            )
            .take(options.limit);
          if (output.isJson) return output.json(found);
          output.table(
            ['id', 'model', 'GB', 'region', 'AITBC/h', 'rating', 'free'],
            found.map((gpu) => [
              gpu.id,
              gpu.model,
              gpu.memory_gb,
              gpu.region,
              gpu.price_per_hour,
              gpu.rating,
              gpu.available ? 'yes' : 'no',
            ]),
            'No GPUs.',
          );
        },
      ),
    );
  gpus
    .command('book')
    .description('Rent a GPU; the whole price is held, what is not used comes back')
    .argument('<gpu>')
    .requiredOption('--hours <n>', 'how long, 720 at most', number)
    .option('--start <time>', 'later, ISO 8601')
    .option('--max-price <aitbc>', 'an hour at most', number)
    .option('--idempotency-key <key>', 'given again, it is the same booking')
    .addHelpText('after', '\nExample:\n  aitbc gpus book 0190f2a5-… --hours 2 --max-price 0.6')
    .action(
      act(
        async (
          context,
          gpu: string,
          options: { hours: number; start?: string; maxPrice?: number; idempotencyKey?: string },
        ) => {
          const body = {
            duration_hours: options.hours,
            start_time: options.start,
            max_price_per_hour: options.maxPrice,
          };
          const call = { signal: context.signal, idempotencyKey: options.idempotencyKey };
          showOrder(context, await context.client.gpus.book(gpu, body, call));
        },
      ),
    );
  gpus
    .command('release')
    .description('End a booking now')
    .argument('<gpu>')
    .option('--order <id>', 'which booking of this GPU')
    .addHelpText('after', '\nExample:\n  aitbc gpus release 0190f2a5-…')
    .action(
      act(async (context, gpu: string, options: { order?: string }) => {
        showOrder(
          context,
          await context.client.gpus.release(gpu, { order_id: options.order }, { signal: context.signal }),
        );
      }),
    );
  gpus
    .command('orders')
    .description('Own bookings, as booker or owner')
    .option('-n, --limit <n>', 'at most so many', count, 20)
    .action(
      act(async ({ client, output, signal }, options: { limit: number }) => {
        const found = await client.gpus.orders({}, { signal }).take(options.limit);
        if (output.isJson) return output.json(found);
        output.table(
          ['order', 'status', 'model', 'until', 'held', 'from', 'gpu'],
          found.map((order) => [
            order.id,
            order.status,
            order.gpu_model,
            order.end_time,
            order.amount,
            order.start_time,
            order.gpu_id,
          ]),
          'No bookings.',
        );
      }),
    );
  gpus
    .command('offer')
    .description('Offer a GPU of yours; takes a miner key')
    .requiredOption('--model <model>')
    .requiredOption('--memory <gb>', '', number)
    .requiredOption('--region <region>')
    .requiredOption('--price <aitbc>', 'an hour; the base with --dynamic', number)
    .option('--dynamic', 'let the price follow demand')
    .option('--cuda <version>')
    .option('--miner <id>', 'the registered miner that it stands in')
    .option('--capability <type>', 'a job type; several are possible', collect)
    .addHelpText(
      'after',
      "\nExample:\n  aitbc gpus offer --model 'RTX 4090' --memory 24 --region eu --price 0.5",
    )
    .action(
      act(
        async (
          { client, output, signal },
          options: {
            model: string;
            memory: number;
            region: string;
            price: number;
            dynamic?: true;
            cuda?: string;
            miner?: string;
            capability?: string[];
          },
        ) => {
          const body: Input<'market.register'>['body'] = {
            model: options.model,
            memory_gb: options.memory,
            region: options.region,
            price_per_hour: options.price,
            pricing: options.dynamic === true ? 'dynamic' : 'fixed',
            cuda_version: options.cuda,
            miner_id: options.miner,
            capabilities: options.capability,
          };
          const offer = await client.gpus.offer(body, { signal });
          if (output.isJson) output.json(offer);
          else output.line(offer.id);
        },
      ),
    );
  gpus
    .command('change')
    .description('Change the price of a GPU of yours, or whether it can be booked')
    .argument('<gpu>')
    .option('--price <aitbc>', 'an hour', number)
    .option('--pricing <kind>', 'fixed or dynamic')
    .option('--available <yes|no>')
    .addHelpText('after', '\nExample:\n  aitbc gpus change 0190f2a5-… --price 0.4')
    .action(
      act(
        async (
          { client, output, signal },
          gpu: string,
          options: { price?: number; pricing?: 'fixed'; available?: string },
        ) => {
          const body = {
            price_per_hour: options.price,
            pricing: options.pricing,
            available: options.available === undefined ? undefined : options.available === 'yes',
          };
          const offer = await client.gpus.change(gpu, body, { signal });
          if (output.isJson) output.json(offer);
          else
            output.line(
              `${offer.price_per_hour} AITBC an hour, ${offer.available ? 'can' : 'cannot'} be booked now`,
            );
        },
      ),
    );
  gpus
    .command('withdraw')
    .description('Take a GPU of yours off the market')
    .argument('<gpu>')
    .action(
      act(async ({ client, output, signal }, gpu: string) => {
        await client.gpus.withdraw(gpu, { signal });
        if (output.isJson) output.json({ id: gpu, withdrawn: true });
        else output.line(`${gpu} withdrawn`);
      }),
    );
};
