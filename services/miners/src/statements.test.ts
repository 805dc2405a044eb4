import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type AttemptId, judgeStatement, type Missing, missingSpanMs } from './domain.ts';

// What an agent says it has, against what jobs gave it, with every delay that a network makes.

const PAUSE_MS = 5_000;
const SPAN_MS = missingSpanMs(30, 1);
/** Of a beat here, and of a poll's answer there: together shorter than the span. */
const WAY_MAX_MS = SPAN_MS / 2 - 1;

/** A job's life with one agent, in milliseconds from the start. */
interface Life {
  readonly leasedAt: number;
  /** The poll's answer arrives so long after the lease. */
  readonly answerTakes: number;
  /** From the answer to the result. */
  readonly runs: number;
  /** From the result to the news of it here: Redis may be away. */
  readonly newsTakes: number;
  /** Between the lease and the news of it here. */
  readonly startTakes: number;
}

const life: fc.Arbitrary<Life> = fc.record({
  leasedAt: fc.integer({ min: 0, max: 60_000 }),
  answerTakes: fc.integer({ min: 0, max: WAY_MAX_MS }),
  runs: fc.integer({ min: 0, max: 60_000 }),
  newsTakes: fc.integer({ min: 0, max: 20_000 }),
  startTakes: fc.integer({ min: 0, max: 3_000 }),
});
/** Beats of one agent: each leaves a pause after the answer of the one before, and takes its way. */
const beats = fc.array(
  fc.record({
    there: fc.integer({ min: 0, max: WAY_MAX_MS }),
    back: fc.integer({ min: 0, max: 1_000 }),
    pause: fc.constantFrom(1_000, 4_000, PAUSE_MS, 13_000),
    states: fc.boolean(),
  }),
  { minLength: 30, maxLength: 60 },
);

test('work in hand is never taken, whatever is late', () => {
  fc.assert(
    fc.property(fc.array(life, { minLength: 1, maxLength: 8 }), beats, (lives, sent) => {
      let missing: ReadonlyMap<string, Missing> = new Map();
      let at = 0;
      for (const { there, back, pause, states } of sent) {
        const leftAt = at;
        const heardAt = leftAt + there;
        at = heardAt + back + pause;
        if (!states) continue;
        const held = new Set<string>();
        const running: AttemptId[] = [];
        for (const [index, { leasedAt, answerTakes, runs, newsTakes, startTakes }] of lives.entries()) {
          const job_id = String(index);
          const got = leasedAt + answerTakes;
          if (got <= leftAt && leftAt < got + runs) held.add(job_id);
          if (leasedAt + startTakes <= heardAt && heardAt < got + runs + newsTakes)
            running.push({ job_id, attempt: 1 });
        }
        const judged = judgeStatement(missing, running, ({ job_id }) => held.has(job_id), heardAt, SPAN_MS);
        missing = judged.missing;
        for (const { job_id } of judged.lost) {
          const { leasedAt, answerTakes, runs } = lives[Number(job_id)] as Life;
          // What is not held any more was reported: jobs finds it ended, and lets it be.
          const isHeld = heardAt < leasedAt + answerTakes + runs;
          expect({ job_id, heardAt, isHeld }).toMatchObject({ isHeld: false });
        }
      }
    }),
    { numRuns: 2_000 },
  );
});

test('what an agent lost is found within three of its beats, also while it takes and reports other work', () => {
  const others = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 3, maxLength: 3 });
  fc.assert(
    fc.property(others, fc.integer({ min: 0, max: 3 }), (named, earlierBeats) => {
      let missing: ReadonlyMap<string, Missing> = new Map();
      const lost: AttemptId = { job_id: 'lost', attempt: 2 };
      const all = [lost, ...named.map((id) => ({ job_id: `other-${id}`, attempt: 1 }))];
      for (let beat = 0; beat < earlierBeats; beat += 1)
        missing = judgeStatement(missing, all, () => true, beat * PAUSE_MS, SPAN_MS).missing;
      const found = named.map((id, beat) => {
        const nowMs = (earlierBeats + beat) * PAUSE_MS;
        const isNamed = ({ job_id }: AttemptId) => job_id === `other-${id}` || job_id !== 'lost';
        const judged = judgeStatement(missing, all, isNamed, nowMs, SPAN_MS);
        missing = judged.missing;
        return judged.lost;
      });
      expect(found).toEqual([[], [], [lost]]);
    }),
  );
});

test('of two agents under one name the one that holds the job speaks in between', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 1_500 }), { minLength: 20, maxLength: 20 }),
      fc.integer({ min: 0, max: PAUSE_MS }),
      (jitter, phase) => {
        let missing: ReadonlyMap<string, Missing> = new Map();
        const held: AttemptId = { job_id: 'held', attempt: 1 };
        const holder = jitter.map((late, index) => ({ atMs: index * PAUSE_MS + late, names: true }));
        const other = jitter.map((_, index) => ({ atMs: index * PAUSE_MS + phase, names: false }));
        for (const { atMs, names } of [...holder, ...other].sort((a, b) => a.atMs - b.atMs)) {
          const judged = judgeStatement(missing, [held], () => names, atMs, SPAN_MS);
          missing = judged.missing;
          expect(judged.lost).toEqual([]);
        }
      },
    ),
  );
});
