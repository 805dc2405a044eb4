import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { operationsRoutes, Problem } from '@aitbc/contracts';
import { ConfigError } from './config.ts';
import type { Log } from './log.ts';
import { occasionally } from './occasionally.ts';
import type { Scheduled } from './ticker.ts';

/** PEM texts, as node:tls takes them. `ca`: whose certificates are believed. */
export interface Pem {
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly ca?: Buffer[];
}

/** What the settings are called that name the files. */
interface Names {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** What a server shows, and whose client certificates it asks for. */
const SERVER_TLS: Names = { cert: 'TLS_CERT', key: 'TLS_KEY', ca: 'TLS_CLIENT_CA' };

/** Whoever renews certificates writes new files long before the old ones end: minutes would do. */
const READ_AGAIN_EVERY_MS = 5_000;
/** Set on an answer to one who showed no certificate, where it is open to all: so that a gateway knows what it lacks. */
export const CERTIFICATE_HEADER = 'x-client-certificate';
/** For whoever places and restarts containers: their probes have no certificate. */
const OPEN_TO_ALL: readonly string[] = [operationsRoutes.health, operationsRoutes.ready];

const CERTIFICATES = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** One or many, one after the other in a file; each of them has to be one. */
const splitBundle = (pem: Buffer): Buffer[] => {
  const found = [...pem.toString().matchAll(CERTIFICATES)].map(([text]) => Buffer.from(text));
  if (found.length === 0) throw new Error('holds no certificate in PEM');
  for (const one of found) new X509Certificate(one);
  return found;
};

/**
 * Reads what the settings name, and looks whether it fits together.
 * @param config holds paths of PEM files under `names`
 * @returns undefined when nothing is named
 * @throws ConfigError naming the setting whose file is missing, unreadable or not what it should be
 */
export const readTls = (config: object, names: Names): Pem | undefined => {
  const settings = config as Record<string, string | undefined>;
  const refuse = (what: string, why: string) =>
    new ConfigError(`The configuration is not usable:\n  ${what}: ${why}`);
  const read = <T>(name: string, parse: (pem: Buffer) => T): T | undefined => {
    const path = settings[name];
    if (path === undefined) return undefined;
    try {
      return parse(readFileSync(path));
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      // OpenSSL's words tell nobody what to do.
      const why = code?.startsWith('ERR_') === true ? `is not in PEM (${code})` : message;
      throw refuse(name, `${path}: ${why}`);
    }
  };
  const cert = read(names.cert, (pem) => ({ pem, parsed: new X509Certificate(pem) }));
  const key = read(names.key, (pem) => ({ pem, parsed: createPrivateKey(pem) }));
  const ca = read(names.ca, splitBundle);
  if ((cert === undefined) !== (key === undefined))
    throw refuse(`${names.cert}, ${names.key}`, 'give both or none');
  if (cert !== undefined && key !== undefined && !cert.parsed.checkPrivateKey(key.parsed))
    throw refuse(names.key, `${settings[names.key]}: is not the key of ${names.cert}`);
  if (names.ca === SERVER_TLS.ca && ca !== undefined && cert === undefined)
    throw refuse(names.ca, `needs ${names.cert} and ${names.key}`);
  if (cert === undefined && ca === undefined) return undefined;
  return {
    ...(cert === undefined ? {} : { cert: cert.pem }),
    ...(key === undefined ? {} : { key: key.pem }),
    ...(ca === undefined ? {} : { ca }),
  };
};

const isSame = (one: Pem | undefined, other: Pem | undefined): boolean =>
  JSON.stringify(one) === JSON.stringify(other);

/**
 * Takes certificates that were renewed without a restart. What cannot be used is told by the schedule, and what was
 * there before stays: a renewal writes one file after the other.
 */
export const watchTls = (options: {
  name: string;
  current: Pem | undefined;
  read: () => Pem | undefined;
  use: (pem: Pem) => void;
  log: Log;
}): Scheduled[] => {
  let { current } = options;
  // Whether there is TLS at all is decided at start.
  if (current === undefined) return [];
  return [
    {
      name: options.name,
      everyMs: READ_AGAIN_EVERY_MS,
      where: 'everywhere',
      run: () => {
        const now = options.read();
        if (now === undefined || isSame(now, current)) return;
        options.use(now);
        current = now;
        options.log.info({ schedule: options.name }, 'certificates were renewed');
      },
    },
  ];
};

/** What a caller did wrong whose connection never came to be, in words. */
const describeHandshake = (error: NodeJS.ErrnoException): string => {
  const code = error.code ?? '';
  if (code === 'ERR_SSL_HTTP_REQUEST')
    return 'plain HTTP came to a port that speaks TLS: its caller must say https';
  if (/UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_UNKNOWN/.test(code))
    return 'a caller does not believe the certificate: it needs the CA (SERVICES_CA of the gateway)';
  return 'a caller could not agree on TLS';
};

/**
 * Answers only who showed a certificate of the right CA; but the probes of health are for all. Asked of each request
 * and not of the connection, because probes come over the same port.
 */
const demandCertificate = (app: RequestListener, log: Log): RequestListener => {
  const tell = occasionally();
  const problem = new Problem(
    'SERVICE_UNAVAILABLE',
    'A part of the coordinator is set up wrongly; try again later.',
  );
  return (request, response) => {
    const socket = request.socket as TLSSocket;
    if (socket.authorized) return app(request, response);
    response.setHeader(CERTIFICATE_HEADER, 'required');
    if (OPEN_TO_ALL.includes(request.url ?? '')) return app(request, response);
    const keptBack = tell('refused');
    if (keptBack !== undefined)
      log.warn(
        {
          err: String(socket.authorizationError ?? 'none shown'),
          from: socket.remoteAddress,
          kept_back: keptBack,
        },
        'a caller without a certificate of TLS_CLIENT_CA was refused (the gateway: SERVICES_CERT, SERVICES_KEY)',
      );
    request.resume();
    response
      .writeHead(problem.status, { 'content-type': 'application/json; charset=utf-8', 'retry-after': '5' })
      .end(JSON.stringify(problem.toBody()));
  };
};

/** The TLS of a server: what it starts with, and what keeps it fresh. */
export interface ServerTls {
  readonly pem: Pem;
  /** Stands before the app. */
  readonly guard: (app: RequestListener) => RequestListener;
  readonly onHandshakeFailed: (error: Error) => void;
  /** `use` is called with each renewal. */
  readonly onRenewed: (use: (pem: Pem) => void) => void;
  readonly schedule: Scheduled[];
}

/**
 * @returns undefined without settings for it: then the server speaks plain HTTP
 * @throws ConfigError as {@link readTls} does
 */
export const createServerTls = (config: object, log: Log): ServerTls | undefined => {
  const pem = readTls(config, SERVER_TLS);
  if (pem === undefined) return undefined;
  const tell = occasionally();
  const servers: ((renewed: Pem) => void)[] = [];
  return {
    pem,
    guard: (app) => (pem.ca === undefined ? app : demandCertificate(app, log)),
    onHandshakeFailed: (error) => {
      const message = describeHandshake(error);
      const keptBack = tell(message);
      if (keptBack !== undefined) log.warn({ err: error.message, kept_back: keptBack }, message);
    },
    onRenewed: (use) => void servers.push(use),
    schedule: watchTls({
      name: 'tls.renew',
      current: pem,
      read: () => readTls(config, SERVER_TLS),
      use: (renewed) => {
        for (const use of servers) use(renewed);
      },
      log,
    }),
  };
};
