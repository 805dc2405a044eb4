import { describe, expect, test } from 'vitest';
import { JOB_TYPES, modelOfJob } from './job-types.ts';
import { validationProblem } from './problem.ts';

const hello = [{ role: 'user', content: 'Hello' }];
const chat = (request: Record<string, unknown>) =>
  JOB_TYPES.chat_completion.safeParse({ request: { model: 'm', messages: hello, ...request } });

const picture = (url: string) => [
  { role: 'user', content: [{ type: 'image_url', image_url: { url, detail: 'low' } }] },
];

test('a whole request passes as it is: fields that nobody knows, null for "not set", and the order of a schema', () => {
  const request = {
    model: 'llama3.2:1b',
    messages: [
      { role: 'developer', content: 'Be brief' },
      ...picture('data:image/png;base64,AAAA'),
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } }],
      },
      { role: 'tool', tool_call_id: 'a', content: '' },
      { role: 'assistant', content: [{ type: 'refusal', refusal: 'no' }], reasoning_content: 'hm' },
    ],
    temperature: null,
    top_k: 40,
    chat_template_kwargs: { enable_thinking: false },
    response_format: {
      type: 'json_schema',
      json_schema: { name: 'x', schema: { type: 'object', properties: { why: {}, answer: {} } } },
    },
  };
  const parsed = JOB_TYPES.chat_completion.parse({ request });
  expect(parsed).toEqual({ request });
  expect(JSON.stringify(parsed.request.response_format)).toBe(JSON.stringify(request.response_format));
  expect(modelOfJob(parsed)).toBe('llama3.2:1b');
});

describe('what is refused names its field', () => {
  const refusedChat: [string, Record<string, unknown>, string][] = [
    ['no messages', { messages: [] }, 'parameters.request.messages'],
    [
      'too many messages',
      { messages: Array.from({ length: 2_001 }, () => hello[0]) },
      'parameters.request.messages',
    ],
    ['an unknown role', { messages: [{ role: 'robot', content: '' }] }, 'parameters.request.messages.0.role'],
    ['a temperature of 3', { temperature: 3 }, 'parameters.request.temperature'],
    ['five choices', { n: 5 }, 'parameters.request.n'],
    ['no model', { model: '' }, 'parameters.request.model'],
    [
      '129 tools',
      { tools: Array.from({ length: 129 }, () => ({ type: 'function' })) },
      'parameters.request.tools',
    ],
    [
      'what is nested too deep',
      { extra: JSON.parse(`${'['.repeat(40)}${']'.repeat(40)}`) },
      'parameters.request',
    ],
  ];
  test.each(refusedChat)('%s', (_what, request, path) => {
    const { error } = chat(request);
    expect(validationProblem(error as never, 'parameters').details.issues).toEqual([
      { path, message: expect.any(String) },
    ]);
  });

  test.each([
    'https://example.com/a.png',
    'http://169.254.169.254/latest',
    'file:///etc/passwd',
    ' data:image/png;base64,AAAA',
    '//host/a.png',
  ])('a picture at %s', (url) => {
    for (const messages of [
      picture(url),
      [{ role: 'user', content: [{ type: 'image_url', image_url: url }] }],
      [{ role: 'user', content: [{ type: 'file', file: { file_url: url } }] }],
      [
        {
          role: 'user',
          content: [{ type: 'tool_result', content: [{ type: 'video_url', video_url: { url } }] }],
        },
      ],
    ]) {
      const problem = validationProblem(chat({ messages }).error as never);
      expect(problem.message).toContain('data: URIs');
    }
  });

  test('of an embedding in both of its forms', () => {
    const parse = (value: unknown) => JOB_TYPES.embedding.safeParse(value);
    expect(parse({ model: 'm', input: ['a'] }).success).toBe(true);
    for (const input of ['a', ['a', 'b'], [1, 2], [[1], [2]]])
      expect(parse({ request: { model: 'm', input, dimensions: 256, extra: 1 } }).success).toBe(true);
    const pathsOf = (value: unknown) => parse(value).error?.issues.map((issue) => issue.path.join('.'));
    expect(pathsOf({ model: 'm' })).toEqual(['input']);
    expect(pathsOf({ request: { model: 'm', input: 'a', dimensions: 0 } })).toEqual(['request.dimensions']);
    expect(
      validationProblem(parse({ model: 'm', input: 'a', other: 1 }).error as never).details.issues,
    ).toEqual([{ path: 'other', message: 'unknown field' }]);
    expect(pathsOf({ request: { model: 'm', input: [] } })).toEqual(['request.input']);
  });
});

test('a text completion takes texts and tokens', () => {
  for (const prompt of ['a', ['a', 'b'], [1, 2], [[1], [2]]])
    expect(JOB_TYPES.text_completion.safeParse({ request: { model: 'm', prompt, echo: true } }).success).toBe(
      true,
    );
  expect(JOB_TYPES.text_completion.safeParse({ request: { model: 'm' } }).success).toBe(false);
});
