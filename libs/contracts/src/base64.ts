import { z } from 'zod';

/** `data:image/png;base64,`: what browsers put in front. The type in it is not looked at. */
const DATA_URI = /^\s*data:[^,]{0,200};base64,/i;
/** Either alphabet of RFC 4648, padded or not. */
const BASE64 = /^[A-Za-z0-9+/_-]+={0,2}$/;

/** @returns the one spelling (alphabet of RFC 4648 §4, padded, no white space), or what came when it is no base64. */
const normalForm = (given: string): string => {
  const text = given.replace(DATA_URI, '').replace(/\s+/g, '');
  if (!BASE64.test(text)) return given;
  const padding = text.length - text.replace(/=/g, '').length;
  const isWhole = padding === 0 ? text.length % 4 !== 1 : text.length % 4 === 0;
  return isWhole ? Buffer.from(text, 'base64').toString('base64') : given;
};

const isNormal = (text: string): boolean => text.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(text);

/**
 * Bytes as base64, `min` to `max` characters of it. A data URI, line breaks, the url-safe alphabet and missing padding
 * are taken too, and brought into the one form before anything else sees it: so that form is stored, hashed, signed and
 * given to the miner.
 */
export const Base64 = (min: number, max: number) =>
  z.string().overwrite(normalForm).min(min).max(max).refine(isNormal, 'must be base64');
