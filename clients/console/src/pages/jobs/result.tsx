import type { Job } from '@aitbc/sdk';
import type { ReactNode } from 'react';
import { count, percent } from '../../format.ts';
import { Block, Copy, Facts } from '../../parts/look.tsx';
import { askedPicture, WordBoxes } from './word-boxes.tsx';

// What a job gave, by its type. A miner wrote it, so everything is text to React, and nothing of it is a link.

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const textIn = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
const numberIn = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined);

/** A browser that lays out megabytes of text stands still; the rest is in the copy. */
const SHOWN_MAX = 20_000;

export const Raw = ({ value, what }: { value: unknown; what: string }) => {
  const text = JSON.stringify(value, null, 2) ?? 'null';
  return (
    <div className="stack">
      <Block name={what}>
        {text.length > SHOWN_MAX
          ? `${text.slice(0, SHOWN_MAX)}\n… ${count(text.length - SHOWN_MAX)} more`
          : text}
      </Block>
      <div>
        <Copy text={text} what={what} />
      </div>
    </div>
  );
};

const Text = ({ text, children }: { text: string; children?: ReactNode }) => (
  <div className="stack">
    <Block name="the text" isProse>
      {text.slice(0, SHOWN_MAX)}
    </Block>
    {children}
    <div>
      <Copy text={text} what="the text" />
    </div>
  </div>
);

const Languages = ({ result }: { result: Record<string, unknown> }) => {
  const names = new Intl.DisplayNames(['en'], { type: 'language', fallback: 'code' });
  const nameOf = (code: string): string => (/^[a-z]{2,3}$/.test(code) ? (names.of(code) ?? code) : code);
  const candidates = (Array.isArray(result.candidates) ? result.candidates : [])
    .filter(isRecord)
    .slice(0, 50);
  return (
    <div className="stack">
      <p>
        <strong>
          {typeof result.language === 'string' ? nameOf(result.language) : 'No language was seen'}
        </strong>
      </p>
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Language</th>
            <th scope="col">How sure</th>
            <th scope="col" className="end">
              Share
            </th>
          </tr>
        </thead>
        <tbody>
          {candidates.map((candidate) => {
            const language = textIn(candidate.language) ?? '?';
            const confidence = numberIn(candidate.confidence) ?? 0;
            return (
              <tr key={language}>
                <td>{nameOf(language)}</td>
                <td style={{ width: '50%' }}>
                  <div className="bar">
                    <i style={{ width: `${Math.min(100, Math.max(0, confidence * 100))}%` }} />
                  </div>
                </td>
                <td className="end number">{percent(confidence)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
};

/** Of a picture that a miner made: its bytes, never an address, which would tell the miner who looks at it. */
const pictureOf = (result: Record<string, unknown>): string | undefined => {
  const base64 = textIn(result.image_base64) ?? textIn(result.b64_json);
  return base64 !== undefined && /^[A-Za-z0-9+/=\s]+$/.test(base64)
    ? `data:image/png;base64,${base64}`
    : undefined;
};

const answerOf = (result: Record<string, unknown>): string | undefined => {
  const choice: unknown = Array.isArray(result.choices) ? result.choices[0] : undefined;
  if (!isRecord(choice)) return undefined;
  return textIn(choice.text) ?? (isRecord(choice.message) ? textIn(choice.message.content) : undefined);
};

const Shaped = ({ job }: { job: Job }): ReactNode => {
  const { result } = job;
  if (!isRecord(result)) return null;
  switch (job.job_type) {
    case 'language_detection':
      return <Languages result={result} />;
    case 'ocr': {
      const text = textIn(result.text);
      const confidence = numberIn(result.confidence);
      return text === undefined ? null : (
        <>
          <WordBoxes job={job} value={result.boxes} />
          <Text text={text === '' ? '(no text was found in the picture)' : text}>
            {confidence === undefined ? null : (
              <p className="small muted">
                {percent(confidence)} sure, {count(numberIn(result.words) ?? 0)} words
              </p>
            )}
          </Text>
        </>
      );
    }
    case 'chat_completion':
    case 'text_completion':
    case 'llm_inference': {
      const text = textIn(result.text) ?? answerOf(result);
      return text === undefined ? null : <Text text={text} />;
    }
    case 'image_generation': {
      const picture = pictureOf(result);
      return picture === undefined ? null : <img src={picture} alt="Made by the miner" className="picture" />;
    }
    case 'embedding': {
      const vectors = [result.embeddings, result.data].find(Array.isArray);
      return vectors === undefined ? null : <Facts facts={[['Vectors', count(vectors.length)]]} />;
    }
    default:
      return null;
  }
};

export const Result = ({ job }: { job: Job }) => {
  const shaped = Shaped({ job });
  return shaped === null ? (
    <Raw value={job.result} what="the result" />
  ) : (
    <div className="stack">
      {shaped}
      <details>
        <summary className="small muted">As the miner sent it</summary>
        <Raw value={job.result} what="the result" />
      </details>
    </div>
  );
};

/** What was asked. A picture among it is shown, for it is what the answer is compared with. */
export const Parameters = ({ job }: { job: Job }) => {
  const given = textIn(job.parameters.image_base64);
  const picture = askedPicture(job);
  const rest =
    given === undefined
      ? job.parameters
      : { ...job.parameters, image_base64: `(${count(given.length)} characters)` };
  return (
    <div className="stack">
      {picture === undefined ? null : (
        <img src={picture} alt="What the job was asked to read" className="picture" />
      )}
      <Raw value={rest} what="the parameters" />
    </div>
  );
};
