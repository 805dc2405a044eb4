import { expect, test } from 'vitest';
import { pythonJson } from './receipt.ts';

/** `json.dumps(value, separators=(",", ":"), sort_keys=True)` of Python 3, null left out before. */
const WRITTEN_BY_PYTHON =
  '{"Z":true,"a":{"\\u00e9":"\\u00fc\\u007f\\n\\"\\\\/","\\uffee":2,"\\ud83d\\ude00":1},"b":[1,0.0001,12345.678,0,10000000],"big":9007199254740991,"small":"0.00000001"}';

test('what is signed is what Python writes', () => {
  const document = {
    b: [1, null, 0.0001, 12_345.678, 0, 10_000_000],
    a: { '😀': 1, '￮': 2, é: 'ü\u007f\n"\\/', none: null },
    Z: true,
    big: 9_007_199_254_740_991,
    small: '0.00000001',
  };
  expect(pythonJson(document)).toBe(WRITTEN_BY_PYTHON);
});
