import { access } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Worker as ThreadWorker } from 'node:worker_threads';

/** Where a word stands, in pixels from the upper left corner, and how sure the engine is of it, 0–100. */
interface Word {
  readonly text: string;
  readonly confidence: number;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** What one page gives: the text, how sure the engine is of it, 0–100, and its words in the order they are read. */
interface Page {
  readonly text: string;
  readonly confidence: number;
  readonly words: readonly Word[];
}

/** Of the engine's table: in it a page, its blocks, paragraphs, lines and words are rows, and a word is the fifth level. */
const LEVEL_OF_WORDS = '5';
const wordsOf = (table: string): Word[] =>
  table.split('\n').flatMap((row): Word[] => {
    const [level, , , , , x, y, width, height, confidence, text] = row.split('\t');
    if (level !== LEVEL_OF_WORDS || text === undefined || text.trim() === '') return [];
    return [
      {
        text,
        confidence: Number(confidence),
        x: Number(x),
        y: Number(y),
        width: Number(width),
        height: Number(height),
      },
    ];
  });

export interface OcrPool {
  /** Loads the engine and the weights, which proves that both work. Throws when they do not. */
  warmUp(): Promise<void>;
  read(image: Buffer, signal: AbortSignal, progress: (fraction: number) => void): Promise<Page>;
  close(): Promise<void>;
}

/** A warm engine holds about 90 MB; after two quiet minutes that is worth more than the 0.3 s of the next start. */
const IDLE_MS = 120_000;
/** LSTM_ONLY in the engine's numbering: the weights below hold no other. */
const ENGINE_LSTM = 1;

interface Engine {
  readonly recognize: (image: Buffer) => Promise<Page>;
  readonly end: () => Promise<void>;
  onProgress: (fraction: number) => void;
  idleTimer: NodeJS.Timeout | undefined;
}

/** The quantised weights inside the npm package (3 MB): read from disk, so that nothing is ever fetched. */
const weightsFolder = async (): Promise<string> => {
  const manifest = fileURLToPath(import.meta.resolve('@tesseract.js-data/eng/package.json'));
  const folder = join(dirname(manifest), '4.0.0_best_int');
  await access(join(folder, 'eng.traineddata.gz'));
  return folder;
};

const startEngine = async (onEnd: (engine: Engine) => void): Promise<Engine> => {
  const langPath = await weightsFolder();
  const { createWorker } = await import('tesseract.js');
  const worker = await createWorker('eng', ENGINE_LSTM, {
    langPath,
    gzip: true,
    cacheMethod: 'none',
    logger: ({ status, progress }) => {
      if (status === 'recognizing text') engine.onProgress(progress);
    },
    // Without one the library throws out of an event handler, which would end the agent.
    errorHandler: () => {},
  });
  const { worker: thread } = worker as typeof worker & { worker: ThreadWorker };
  const engine: Engine = {
    recognize: async (image) => {
      // The table is a tenth of what the engine's tree of symbols takes to bring here.
      const { data } = await worker.recognize(image, {}, { text: true, tsv: true });
      return { text: data.text, confidence: data.confidence, words: wordsOf(data.tsv ?? '') };
    },
    end: async () => {
      await thread.terminate();
    },
    onProgress: () => {},
    idleTimer: undefined,
  };
  // A thread that runs out of memory dies with an `error` event: unheard, it would end the agent.
  thread.on('error', () => onEnd(engine));
  thread.on('exit', () => onEnd(engine));
  return engine;
};

/**
 * Up to `size` engines, each a thread of its own because recognition is synchronous. An engine is kept warm after
 * its job and ended after IDLE_MS; one that failed or was interrupted is ended, since its memory cannot be trusted.
 */
export const createOcrPool = (size: number, idleMs: number = IDLE_MS): OcrPool => {
  const idle: Engine[] = [];
  const onEnd = new Map<Engine, () => void>();
  const waiting: (() => void)[] = [];
  let open = 0;
  let closed = false;

  const release = (): void => {
    open -= 1;
    waiting.shift()?.();
  };

  const ended = (engine: Engine): void => {
    const at = idle.indexOf(engine);
    if (at >= 0) idle.splice(at, 1);
    clearTimeout(engine.idleTimer);
    onEnd.get(engine)?.();
  };

  const acquire = async (signal: AbortSignal): Promise<Engine> => {
    while (open >= size) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          signal.removeEventListener('abort', leave);
          resolve();
        };
        // Out of the queue at once: a wake-up given to someone who left would be lost.
        const leave = (): void => {
          waiting.splice(waiting.indexOf(wake), 1);
          resolve();
        };
        waiting.push(wake);
        signal.addEventListener('abort', leave, { once: true });
      });
      signal.throwIfAborted();
    }
    open += 1;
    const warm = idle.pop();
    if (warm !== undefined) {
      clearTimeout(warm.idleTimer);
      return warm;
    }
    try {
      return await startEngine(ended);
    } catch (error) {
      release();
      throw error;
    }
  };

  const keepWarm = (engine: Engine): void => {
    engine.onProgress = () => {};
    if (closed) {
      void engine.end();
      return;
    }
    engine.idleTimer = setTimeout(() => void engine.end(), idleMs);
    engine.idleTimer.unref();
    idle.push(engine);
  };

  return {
    async warmUp() {
      if (idle.length > 0 || open > 0) return;
      const engine = await acquire(AbortSignal.timeout(60_000));
      keepWarm(engine);
      release();
    },
    async read(image, signal, progress) {
      const engine = await acquire(signal);
      engine.onProgress = progress;
      // An ended thread leaves the library's promise open for ever, so its end and the signal are raced with it.
      const interrupted = new Promise<never>((_, reject) => {
        const stop = (): void => reject(new Error('the engine was ended'));
        onEnd.set(engine, stop);
        if (signal.aborted) stop();
        signal.addEventListener('abort', stop, { once: true });
      });
      try {
        const page = await Promise.race([engine.recognize(image), interrupted]);
        keepWarm(engine);
        return page;
      } catch (error) {
        void engine.end();
        throw error;
      } finally {
        onEnd.delete(engine);
        release();
      }
    },
    async close() {
      closed = true;
      for (const engine of idle) clearTimeout(engine.idleTimer);
      await Promise.all(idle.splice(0).map((engine) => engine.end()));
    },
  };
};
