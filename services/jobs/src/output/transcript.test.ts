import { expect, test } from 'vitest';
import { createTranscript } from './transcript.ts';

const delta = (index: number, fields: object, finish_reason: string | null = null) => ({
  choices: [{ index, delta: fields, finish_reason }],
});
const resultOf = (message: object, finish_reason = 'stop') => ({
  choices: [{ index: 0, message: { role: 'assistant', ...message }, finish_reason }],
});

test('of a text that was passed on whole nothing is left', () => {
  const transcript = createTranscript();
  transcript.add(delta(0, { role: 'assistant', content: '' }));
  transcript.add(delta(0, { content: 'Hel' }));
  transcript.add(delta(0, { content: 'lo' }));
  transcript.add(delta(0, {}, 'stop'));
  expect(transcript.restOf(resultOf({ content: 'Hello' }))).toEqual({ agrees: true, chunks: [] });
});

test('what was lost on the way is said from the result', () => {
  const transcript = createTranscript();
  // A piece may end between the halves of a character.
  transcript.add(delta(0, { role: 'assistant', content: 'Hi \ud83d' }));
  expect(transcript.restOf(resultOf({ content: 'Hi 😀!' }))).toEqual({
    agrees: true,
    chunks: [delta(0, { content: '\ude00!' }), delta(0, {}, 'stop')],
  });
});

test('all of it is left when nothing came', () => {
  const rest = createTranscript().restOf({
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: null,
          tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{}' } }],
        },
        finish_reason: 'tool_calls',
      },
      { index: 1, message: { role: 'assistant', content: 'No.' }, finish_reason: 'stop' },
    ],
  });
  const call = { id: 'call_1', type: 'function', index: 0, function: { name: 'weather', arguments: '{}' } };
  expect(rest).toEqual({
    agrees: true,
    chunks: [
      delta(0, { role: 'assistant', content: '' }),
      delta(0, { tool_calls: [call] }),
      delta(0, {}, 'tool_calls'),
      delta(1, { role: 'assistant', content: '' }),
      delta(1, { content: 'No.' }),
      delta(1, {}, 'stop'),
    ],
  });
});

test('the rest of a tool call is its arguments alone', () => {
  const transcript = createTranscript();
  const begin = { index: 0, id: 'call_1', type: 'function', function: { name: 'weather', arguments: '' } };
  transcript.add(delta(0, { role: 'assistant', tool_calls: [begin] }));
  transcript.add(delta(0, { tool_calls: [{ index: 0, function: { arguments: '{"city"' } }] }));
  const call = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":1}' } };
  expect(transcript.restOf(resultOf({ content: null, tool_calls: [call] }, 'tool_calls'))).toEqual({
    agrees: true,
    chunks: [
      delta(0, { tool_calls: [{ index: 0, function: { arguments: ':1}' } }] }),
      delta(0, {}, 'tool_calls'),
    ],
  });
});

test('text completions too', () => {
  const transcript = createTranscript();
  transcript.add({ choices: [{ index: 0, text: 'Once', finish_reason: null }] });
  expect(transcript.restOf({ choices: [{ index: 0, text: 'Once upon', finish_reason: 'length' }] })).toEqual({
    agrees: true,
    chunks: [
      { choices: [{ index: 0, text: ' upon', finish_reason: null }] },
      { choices: [{ index: 0, text: '', finish_reason: 'length' }] },
    ],
  });
});

test('a result that says something else than was passed on is found out', () => {
  const said = () => {
    const transcript = createTranscript();
    transcript.add(delta(0, { role: 'assistant', content: 'Hello' }));
    return transcript;
  };
  expect(said().restOf(resultOf({ content: 'Hallo, world' }))).toEqual({ agrees: false });
  expect(said().restOf(resultOf({ content: 'Hell' }))).toEqual({ agrees: false });
  expect(said().restOf(resultOf({ content: null }))).toEqual({ agrees: false });
  expect(said().restOf({ choices: [] })).toEqual({ agrees: false });
  expect(said().restOf('no answer at all')).toEqual({ agrees: false });
});
