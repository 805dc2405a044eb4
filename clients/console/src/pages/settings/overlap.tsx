/** For how long what is replaced works on, in seconds. */
const OVERLAPS = [
  [86_400, 'a day, so that programs can be changed one after another'],
  [604_800, 'a week'],
  [3_600, 'an hour'],
  [0, 'not at all: it ends now'],
] as const;
export const OVERLAP_AT_FIRST = OVERLAPS[0][0];

export const OverlapChoice = ({
  value,
  onChange,
}: {
  value: number;
  onChange: (seconds: number) => void;
}) => (
  <label className="field">
    <span>The old one works on</span>
    <select value={value} onChange={({ target }) => onChange(Number(target.value))}>
      {OVERLAPS.map(([seconds, says]) => (
        <option key={seconds} value={seconds}>
          {says}
        </option>
      ))}
    </select>
  </label>
);
