import { backendUnavailable, type Executor, invalidInput, JobFailure, requiredText } from './executor.ts';
import { readImageHeader } from './image-header.ts';
import type { OcrPool } from './tesseract.ts';

/** The bound on `image_base64` in the contract's registry of job types: 187 KB of picture. */
const BASE64_MAX = 250_000;
/**
 * An A4 page at 600 dots per inch has 35 million pixels. A few compressed kilobytes can declare a thousand times
 * that, and the decoder would take the memory for it.
 */
const PIXELS_MAX = 40_000_000;
const SIDE_MAX = 20_000;

/** A dense page has 800 words; with their places these take 90 KB of the 256 KB that a report may have. */
const BOXES_MAX = 1_000;

/** A word and where it stands in the picture, in pixels from the upper left corner. */
interface WordBox {
  readonly text: string;
  /** 0–1 */
  readonly confidence: number;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface OcrResult {
  readonly text: string;
  /** 0–1: the engine's mean over the words. */
  readonly confidence: number;
  readonly words: number;
  /** In the order they are read; of more than 1,000 the first. */
  readonly boxes: readonly WordBox[];
}

const readImage = (base64: string): Buffer => {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) throw invalidInput('image_base64 must be base64');
  const image = Buffer.from(base64, 'base64');
  const header = readImageHeader(image);
  if (header === null) {
    throw new JobFailure('UNSUPPORTED_IMAGE', 'the picture must be a PNG, JPEG, GIF, BMP or WebP', {
      retryable: false,
    });
  }
  const { width, height } = header;
  if (width === 0 || height === 0 || width > SIDE_MAX || height > SIDE_MAX || width * height > PIXELS_MAX) {
    throw new JobFailure(
      'INPUT_TOO_LARGE',
      `a picture may have up to ${PIXELS_MAX / 1_000_000} million pixels`,
      {
        retryable: false,
      },
    );
  }
  return image;
};

export const createOcr = (pool: OcrPool): Executor => {
  // Once the engine has run, a probe each minute need not start it again after it was let go.
  let isProven = false;
  return {
    type: 'ocr',
    async probe() {
      try {
        if (!isProven) await pool.warmUp();
        isProven = true;
        return { offered: true, detail: 'tesseract, English', models: [] };
      } catch {
        return {
          offered: false,
          reason: 'tesseract.js or its English weights do not load (npm install repairs it)',
        };
      }
    },
    async run(parameters, { signal, progress }): Promise<OcrResult> {
      const language = parameters.language ?? 'eng';
      if (language !== 'eng') {
        throw new JobFailure('UNSUPPORTED_LANGUAGE', 'this miner reads English only (language "eng")', {
          retryable: false,
        });
      }
      const image = readImage(requiredText(parameters, 'image_base64', BASE64_MAX));
      try {
        const page = await pool.read(image, signal, progress);
        const text = page.text.trim();
        const words = text === '' ? 0 : text.split(/\s+/).length;
        // The engine reports 95 for a blank page.
        const confidence = words === 0 ? 0 : Math.round(page.confidence * 100) / 10_000;
        const boxes = page.words
          .slice(0, BOXES_MAX)
          .map((word) => ({ ...word, confidence: Math.round(word.confidence) / 100 }));
        return { text, confidence, words, boxes };
      } catch (error) {
        if (signal.aborted) throw error;
        // The library rejects with the decoder's words as a string; anything else is the engine itself.
        if (String(error).includes('attempting to read image')) {
          throw new JobFailure('UNSUPPORTED_IMAGE', 'the picture cannot be decoded', { retryable: false });
        }
        isProven = false;
        throw backendUnavailable('the OCR engine ended while it read the picture');
      }
    },
    close: () => pool.close(),
  };
};
