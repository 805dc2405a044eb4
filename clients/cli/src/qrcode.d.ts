// The package brings no types; this is the part that is used.
declare module 'qrcode/lib/core/qrcode.js' {
  export const create: (
    text: string,
    options?: { errorCorrectionLevel?: 'L' | 'M' | 'Q' | 'H' },
  ) => { modules: { size: number; get: (row: number, column: number) => number } };
}
