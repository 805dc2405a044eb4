import { create } from 'qrcode/lib/core/qrcode.js';
import { btcText } from './domain/amounts.ts';

/** White margin that scanners need, in modules (ISO/IEC 18004). */
const QUIET_ZONE = 4;

/** BIP 21. */
export const paymentUri = (address: string, sats: number): string =>
  sats === 0 ? `bitcoin:${address}` : `bitcoin:${address}?amount=${btcText(sats)}&label=AITBC`;

/** A QR code as an SVG in a data URI: one path, a run of dark modules a stroke. */
export const qrDataUri = (text: string): string => {
  const { modules } = create(text, { errorCorrectionLevel: 'M' });
  const { size } = modules;
  let path = '';
  for (let row = 0; row < size; row += 1) {
    for (let column = 0; column < size; column += 1) {
      if (modules.get(row, column) === 0) continue;
      const from = column;
      while (column + 1 < size && modules.get(row, column + 1) !== 0) column += 1;
      path += `M${from + QUIET_ZONE} ${row + QUIET_ZONE + 0.5}h${column - from + 1}`;
    }
  }
  const side = size + 2 * QUIET_ZONE;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${side} ${side}" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h${side}v${side}H0z"/><path stroke="#000" d="${path}"/></svg>`;
  return `data:image/svg+xml;base64,${Buffer.from(svg).toString('base64')}`;
};
