import { connect } from 'node:net';

/** One answer read off a raw connection. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** Every answer in `text`, by Content-Length; what follows the last whole one is dropped. */
const readAnswers = (text: string): RawAnswer[] => {
  const answers: RawAnswer[] = [];
  let rest = text;
  for (;;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end === -1) return answers;
    const [first = '', ...lines] = rest.slice(0, end).split('\r\n');
    const status = Number(first.split(' ')[1]);
    const headers = Object.fromEntries(
      lines.map((line) => [
        line.slice(0, line.indexOf(':')).toLowerCase(),
        line.slice(line.indexOf(':') + 1).trim(),
      ]),
    );
    rest = rest.slice(end + 4);
    if (status === 100) continue;
    const length = Number(headers['content-length'] ?? 0);
    answers.push({ status, headers, body: rest.slice(0, length) });
    rest = rest.slice(length);
  }
};

/**
 * Sends bytes as they are and reads until the other side closes or is silent for `quietMs`.
 * @param chunks sent one after the other, each as a packet of its own.
 */
export const sendRaw = (
  url: string,
  chunks: string | readonly string[],
  quietMs = 200,
): Promise<RawAnswer[]> =>
  new Promise((resolve) => {
    const { hostname, port } = new URL(url);
    let text = '';
    const socket = connect({ host: hostname, port: Number(port), noDelay: true }, () => {
      for (const chunk of typeof chunks === 'string' ? [chunks] : chunks) socket.write(chunk, 'latin1');
    });
    let timer = setTimeout(() => socket.destroy(), 5_000);
    socket.on('data', (data) => {
      text += data.toString('latin1');
      clearTimeout(timer);
      timer = setTimeout(() => socket.destroy(), quietMs);
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(readAnswers(text));
    });
  });

/** A request as text, with exactly these header lines. */
export const rawRequest = (line: string, headers: readonly string[], body = ''): string =>
  `${[`${line} HTTP/1.1`, ...headers].join('\r\n')}\r\n\r\n${body}`;
