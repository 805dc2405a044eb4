import { create } from 'qrcode/lib/core/qrcode.js';

/** White margin that scanners need, in modules; ISO/IEC 18004 asks for 4, and a terminal has a margin of its own. */
const QUIET_ZONE = 2;

/** A QR code in half blocks, two rows of it in one of the terminal: light modules are drawn, on a dark background. */
export const qrText = (text: string): string => {
  const { modules } = create(text, { errorCorrectionLevel: 'L' });
  const isLight = (row: number, column: number): boolean =>
    row < 0 || column < 0 || row >= modules.size || column >= modules.size || modules.get(row, column) === 0;
  const lines: string[] = [];
  for (let row = -QUIET_ZONE; row < modules.size + QUIET_ZONE; row += 2) {
    let line = '';
    for (let column = -QUIET_ZONE; column < modules.size + QUIET_ZONE; column += 1) {
      const upper = isLight(row, column);
      const lower = isLight(row + 1, column);
      line += upper ? (lower ? '█' : '▀') : lower ? '▄' : ' ';
    }
    lines.push(line);
  }
  return lines.join('\n');
};
