import { useState } from 'react';
import { count } from '../../format.ts';
import { Card, useNow } from '../../parts/look.tsx';

/** A booking begins at most so far ahead. */
const DAYS_AHEAD = 30;
const WEEK = 7;
/** As many as the API tells of one GPU. */
const TOLD_MAX = 20;

/** A time that is booked, in milliseconds. */
export interface Taken {
  readonly start: number;
  readonly end: number;
  readonly isMine: boolean;
}

const DAY = new Intl.DateTimeFormat(undefined, { weekday: 'short', day: 'numeric', month: 'short' });
const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' });

/** Local midnight, so many days from today: a day may have 23 or 25 hours. */
const midnight = (now: number, days: number): number => {
  const day = new Date(now);
  return new Date(day.getFullYear(), day.getMonth(), day.getDate() + days).getTime();
};

const Day = ({
  start,
  end,
  taken,
  now,
}: {
  start: number;
  end: number;
  taken: readonly Taken[];
  now: number;
}) => {
  const share = (ms: number) => `${((Math.min(Math.max(ms, start), end) - start) / (end - start)) * 100}%`;
  const length = (window: Taken) =>
    `${((Math.min(window.end, end) - Math.max(window.start, start)) / (end - start)) * 100}%`;
  const today = taken.filter((window) => window.start < end && window.end > start);
  return (
    <li className="calendar-day">
      <span>{DAY.format(start)}</span>
      <span className="hidden">
        {today.length === 0
          ? ': free'
          : today
              .map(
                (window) =>
                  `: ${window.isMine ? 'yours' : 'taken'} from ${TIME.format(window.start)} to ${TIME.format(window.end)}`,
              )
              .join('')}
      </span>
      <div className="calendar-bar" aria-hidden="true">
        {today.map((window) => (
          <i
            key={window.start}
            data-mine={window.isMine}
            style={{ left: share(window.start), width: length(window) }}
          />
        ))}
        {now > start && now < end ? <b style={{ left: share(now) }} /> : null}
      </div>
    </li>
  );
};

/** What is booked of a GPU, a week at a time. */
export const Calendar = ({ taken }: { taken: readonly Taken[] }) => {
  const now = useNow();
  const [from, setFrom] = useState(0);
  const days = Array.from({ length: WEEK }, (_, day) => from + day).filter((day) => day <= DAYS_AHEAD);
  return (
    <Card
      title="Calendar"
      actions={
        <div className="row">
          <button
            type="button"
            className="button"
            data-kind="quiet"
            disabled={from === 0}
            onClick={() => setFrom(from - WEEK)}
          >
            A week earlier
          </button>
          <button
            type="button"
            className="button"
            data-kind="quiet"
            disabled={from + WEEK > DAYS_AHEAD}
            onClick={() => setFrom(from + WEEK)}
          >
            A week later
          </button>
        </div>
      }
    >
      <div className="calendar-day calendar-hours" aria-hidden="true">
        <span />
        <div>
          {[0, 6, 12, 18, 24].map((hour) => (
            <span key={hour}>{hour}</span>
          ))}
        </div>
      </div>
      <ul className="calendar" aria-label="Bookings by day">
        {days.map((day) => (
          <Day key={day} start={midnight(now, day)} end={midnight(now, day + 1)} taken={taken} now={now} />
        ))}
      </ul>
      <p className="row small muted calendar-key">
        <span data-kind="mine">yours</span>
        <span data-kind="taken">taken</span>
        <span>Your local time.</span>
        {taken.length > TOLD_MAX ? (
          <span>Of all that is booked, the next {count(TOLD_MAX)} are shown.</span>
        ) : null}
      </p>
    </Card>
  );
};
