import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { queuePrefix } from '@aitbc/chassis';
import { inboxQueue, SERVICES } from '@aitbc/contracts';
import { scratchDirectory } from '@aitbc/testing';
import { ScaledObject, TriggerAuthentication } from '@kubernetes-models/keda/keda.sh/v1alpha1';
import { ServiceMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';
import { Deployment, StatefulSet } from 'kubernetes-models/apps/v1';
import { Job } from 'kubernetes-models/batch/v1';
import { Ingress, NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1';
import { ConfigMap, Service, ServiceAccount } from 'kubernetes-models/v1';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments, stringify } from 'yaml';
import { configShape as gateway } from '../services/gateway/src/config.ts';
import { webhookWorkerConfigShape as webhooks } from '../services/gateway/src/webhooks/worker/config.ts';
import { configShape as governance } from '../services/governance/src/config.ts';
import { configShape as jobs } from '../services/jobs/src/config.ts';
import { dispatcherConfigShape as dispatcher } from '../services/jobs/src/dispatcher/config.ts';
import { configShape as market } from '../services/market/src/config.ts';
import { configShape as miners } from '../services/miners/src/config.ts';
import { configShape as payments } from '../services/payments/src/config.ts';

// What Kubernetes would be told, rendered by Kustomize, held against the published schemas and the sources.

const folder = resolve(import.meta.dirname, '../deploy/kubernetes');
const read = (path: string): string => readFileSync(join(folder, '../..', path), 'utf8');
const renderer = [
  ['kubectl', 'kustomize'],
  ['kustomize', 'build'],
].find(([program]) => spawnSync(program as string, ['version', '--client']).error === undefined);
const because = renderer === undefined ? ' (skipped: neither kubectl nor kustomize is here)' : '';

// biome-ignore lint/suspicious/noExplicitAny: read here as the schemas allow it
type Thing = any;
const parsed = (text: string): Thing[] => parseAllDocuments(text).map((document) => document.toJS());
const render = (path: string): Thing[] => {
  const [program, verb] = renderer as [string, string];
  const done = spawnSync(program, [verb, path], {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 16 * 1024 * 1024,
  });
  if (done.status !== 0) throw new Error(`${path}: ${done.stderr}`);
  return parsed(done.stdout);
};

/** Compiled from what Kubernetes, KEDA and the Prometheus operator publish. */
const models = new Map(
  [
    ...[ConfigMap, Service, ServiceAccount, Deployment, StatefulSet, Job, Ingress, NetworkPolicy],
    ...[PodDisruptionBudget, ScaledObject, TriggerAuthentication, ServiceMonitor],
  ].map((model) => [`${model.apiVersion} ${model.kind}`, model.prototype as { validate(): void }]),
);

/**
 * The schemas let unknown fields pass, as the server does with a warning. A schema looks at each field that it knows, so
 * what it never looked at is one that it does not know.
 */
const watch = (value: unknown, path: string, unread: Set<string>): unknown => {
  if (typeof value !== 'object' || value === null) return value;
  const at = (key: string): string => `${path}.${key}`;
  const inside = Object.fromEntries(
    Object.entries(value).map(([key, one]) => {
      if (!Array.isArray(value)) unread.add(at(key));
      return [key, watch(one, at(key), unread)];
    }),
  );
  return new Proxy(value, {
    get: (target, key) => {
      if (typeof key === 'symbol' || !Object.hasOwn(inside, key)) return Reflect.get(target, key);
      unread.delete(at(key));
      return inside[key];
    },
    // All of them are looked at: names are free here, as those of labels are.
    ownKeys: (target) => {
      for (const key of Object.keys(inside)) unread.delete(at(key));
      return Reflect.ownKeys(target);
    },
  });
};

/** @returns what is wrong with it, in the words of its schema */
const faultsOf = (thing: Thing): string[] => {
  const name = `${thing.kind} ${thing.metadata?.name}`;
  const model = models.get(`${thing.apiVersion} ${thing.kind}`);
  if (model === undefined) return [`${name}: no schema for ${thing.apiVersion} ${thing.kind}`];
  const unread = new Set<string>();
  const faults: string[] = [];
  try {
    model.validate.call(watch(thing, name, unread));
  } catch (error) {
    faults.push(`${name}: ${String(error)}`);
  }
  return [...faults, ...[...unread].map((path) => `${path}: unknown`)];
};

const shapes: Record<string, object> = {
  gateway,
  governance,
  jobs,
  dispatcher,
  webhooks,
  market,
  miners,
  payments,
};
/** They have no rows. */
const WORKERS = ['dispatcher', 'webhooks'];
const WORKLOADS = ['Deployment', 'StatefulSet', 'Job'];
const SECRETS: Record<string, string[]> = {
  jobs: ['RECEIPT_SIGNING_KEY'],
  payments: ['LEDGER_SIGNING_KEY'],
  gateway: ['ADMIN_API_KEYS', 'METRICS_TOKEN'],
};
const IS_SECRET = /KEY|SECRET|TOKEN|PASSWORD|REDIS_URL|RPC_URL/;
/** Of a workload: the pod's spec, its one container, and what it is told. */
const podOf = (thing: Thing) => {
  const { spec } = thing.spec.template;
  const [container] = spec.containers;
  return { spec, container, env: container.env as Thing[] };
};
const variants = ['overlays/sqlite', 'overlays/postgres', 'migrate'];

describe.skipIf(renderer === undefined)(`what Kubernetes is told${because}`, () => {
  /** Everything that can be applied; the components that an overlay leaves to the operator with each of them. */
  const rendered = Object.fromEntries(
    variants.map((path) => [path, renderer === undefined ? [] : render(path)]),
  );
  const all = Object.entries(rendered).flatMap(([path, things]) => things.map((thing) => ({ path, thing })));
  const workloads = all.filter(({ thing }) => WORKLOADS.includes(thing.kind));
  const services = workloads.filter(({ thing }) => thing.kind !== 'Job');
  const find = (path: string, kind: string, name: string): Thing =>
    rendered[path]?.find((thing) => thing.kind === kind && thing.metadata.name === name);
  const named = ({ path, thing }: { path: string; thing: Thing }): string => `${path} ${thing.metadata.name}`;

  test('is as the published schemas say, with no field that they do not know', () => {
    expect(all.length).toBeGreaterThan(70);
    expect(all.flatMap(({ path, thing }) => faultsOf(thing).map((fault) => `${path}: ${fault}`))).toEqual([]);
    for (const path of ['components/ingress/ingress.yaml', 'components/tls-inside/dispatchers.yaml'])
      expect(parsed(read(`deploy/kubernetes/${path}`)).flatMap(faultsOf)).toEqual([]);
  });

  test('and this check sees a wrong field, value or type, wherever it stands', () => {
    const wrong = (change: (thing: Thing) => void, kind = 'Deployment', name = 'jobs'): string => {
      const thing = structuredClone(find('overlays/postgres', kind, name));
      change(thing);
      return faultsOf(thing).join('\n');
    };
    expect(wrong(() => {})).toBe('');
    expect(wrong((thing) => Object.assign(thing.spec, { replica: 2 }))).toBe(
      'Deployment jobs.spec.replica: unknown',
    );
    expect(
      wrong((thing) => Object.assign(podOf(thing).container.securityContext, { readOnlyRoot: true })),
    ).toContain('securityContext.readOnlyRoot: unknown');
    expect(wrong((thing) => Object.assign(thing.spec, { replicas: 'two' }))).toContain(
      'data/spec/replicas must be integer',
    );
    expect(wrong((thing) => delete thing.spec.selector)).toContain('must have required property selector');
    expect(
      wrong((thing) => Object.assign(thing.spec, { minReplica: 1 }), 'ScaledObject', 'dispatcher'),
    ).toContain('spec.minReplica: unknown');
    expect(
      wrong((thing) => Object.assign(thing.spec.endpoints[0], { every: '15s' }), 'ServiceMonitor', 'gateway'),
    ).toContain('spec.endpoints.0.every: unknown');
  });

  test('every setting is one that its process reads, and of a value that it takes', () => {
    for (const one of services) {
      const shape = shapes[one.thing.metadata.name] as Record<string, Thing>;
      // What all are told: the gateway has names of its own for where it listens.
      const known: Record<string, Thing> = {
        ...shape,
        ...(shape === gateway ? { HOST: null, PORT: null } : {}),
      };
      for (const { name, value } of podOf(one.thing).env) {
        expect(Object.keys(known), named(one)).toContain(name);
        if (value !== undefined && known[name] !== null)
          expect({ name, ok: shape[name]?.safeParse(value).success }).toEqual({ name, ok: true });
      }
    }
    for (const { path, thing } of all.filter((one) => one.thing.kind === 'ConfigMap'))
      for (const [name, value] of Object.entries(thing.data))
        expect({ path, name, ok: (gateway as Thing)[name]?.safeParse(value).success }).toEqual({
          path,
          name,
          ok: true,
        });
  });

  test('every secret that production needs is named, and no value of one stands here', () => {
    expect(services.map(named)).toHaveLength(16);
    for (const one of services) {
      const { name } = one.thing.metadata;
      const { env } = podOf(one.thing);
      const of = (setting: string) => env.find((entry) => entry.name === setting);
      for (const setting of ['SECRET_KEY', 'REDIS_URL', ...(SECRETS[name] ?? [])]) {
        const { secretKeyRef } = of(setting)?.valueFrom ?? {};
        expect(secretKeyRef, `${named(one)} ${setting}`).toMatchObject({ key: setting });
        expect(secretKeyRef.optional).not.toBe(true);
      }
      for (const entry of env.filter(
        (some) => IS_SECRET.test(some.name) && !/^(TLS|SERVICES)_KEY$/.test(some.name),
      ))
        expect(entry.value, `${named(one)} ${entry.name}`).toBeUndefined();
      if (!WORKERS.includes(name)) expect(of('DATABASE_URL'), named(one)).toBeDefined();
      if (one.path === 'overlays/postgres' && !WORKERS.includes(name))
        expect(of('DATABASE_URL').valueFrom.secretKeyRef).toEqual({
          name: 'coordinator-postgres',
          key: 'DATABASE_URL',
        });
    }
    expect(all.filter(({ thing }) => thing.kind === 'Secret')).toEqual([]);
    const files = stringify(rendered);
    expect(files).not.toMatch(/BEGIN [A-Z ]*PRIVATE KEY|postgres:\/\/|rediss?:\/\//);
    // Each Secret that is named is explained to who has to make it.
    const made = new Set(
      [...files.matchAll(/name: (coordinator-?[a-z]*)\n/g)].map(([, name]) => name as string),
    );
    const page = read('deploy/README.md');
    expect([...made].filter((name) => !page.includes(name))).toEqual([]);
  });

  test('no process has more rights than it needs, and each has its bounds', () => {
    for (const one of workloads) {
      const { spec, container } = podOf(one.thing);
      expect(spec, named(one)).toMatchObject({
        automountServiceAccountToken: false,
        securityContext: { runAsNonRoot: true, runAsUser: 1_000, seccompProfile: { type: 'RuntimeDefault' } },
      });
      expect(container.securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
      expect(container.resources).toMatchObject({
        requests: { memory: '192Mi' },
        limits: { memory: '384Mi' },
      });
      // Whatever writes beside the database and Redis writes there.
      expect(container.volumeMounts[0]).toEqual({ name: 'tmp', mountPath: '/tmp' });
    }
    for (const one of services) {
      const { spec, container } = podOf(one.thing);
      const { startupProbe, livenessProbe, readinessProbe, lifecycle } = container;
      expect(livenessProbe.httpGet).toEqual({ path: '/health', port: 'http' });
      expect(startupProbe.httpGet.path).toBe('/health');
      const isGateway = one.thing.metadata.name === 'gateway';
      expect(readinessProbe.httpGet.path).toBe(isGateway ? '/health' : '/health/ready');
      // lifecycle.ts: a process ends at the latest 10 s after it was told to.
      expect(spec.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(
        lifecycle.preStop.sleep.seconds + 10 + 5,
      );
      expect(read(container.command[1])).toContain('runMain');
      const budget = find(one.path, 'PodDisruptionBudget', one.thing.metadata.name);
      expect(budget.spec.selector.matchLabels).toEqual(one.thing.spec.selector.matchLabels);
    }
  });

  test('on PostgreSQL a roll starts the next before it stops one; on SQLite never two write one file', () => {
    for (const name of SERVICES) {
      expect(find('overlays/postgres', 'Deployment', name).spec).toMatchObject({
        replicas: 2,
        minReadySeconds: 5,
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
      });
      const { spec } = find('overlays/sqlite', 'StatefulSet', name);
      expect(spec.replicas).toBe(1);
      expect(spec.volumeClaimTemplates[0].spec.accessModes).toEqual(['ReadWriteOncePod']);
      const url = spec.template.spec.containers[0].env.find(
        (entry: Thing) => entry.name === 'DATABASE_URL',
      ).value;
      expect(url).toBe(`sqlite:////data/${name}.db`);
    }
    // Whoever applies it again must not take back what KEDA decided.
    for (const path of ['overlays/postgres', 'overlays/sqlite'])
      expect(find(path, 'Deployment', 'dispatcher').spec.replicas).toBeUndefined();
    const [trigger] = find('overlays/postgres', 'ScaledObject', 'dispatcher').spec.triggers;
    const prefix = find('overlays/postgres', 'ConfigMap', 'coordinator').data.REDIS_PREFIX;
    expect(trigger.metadata.listName).toBe(`${queuePrefix(prefix)}:${inboxQueue('dispatcher')}:wait`);
    const { container } = podOf(find('migrate', 'Job', 'migrate'));
    expect(read('Dockerfile')).toContain(`COPY ${container.command[1]} scripts/`);
  });

  test('only the gateway is reached from outside, and workers by nobody but Prometheus', () => {
    for (const path of ['overlays/postgres', 'overlays/sqlite']) {
      const policies = (rendered[path] ?? []).filter((thing) => thing.kind === 'NetworkPolicy');
      const pods = (rendered[path] ?? []).filter((thing) => WORKLOADS.includes(thing.kind));
      const selects = (selector: Thing, labels: Record<string, string>): boolean =>
        Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value) &&
        (selector.matchExpressions ?? []).every(({ key, values }: Thing) => values.includes(labels[key]));
      /** Who may call it, by name: of this system, or in words. */
      const callersOf = (pod: Thing): string[] => {
        const { labels } = pod.spec.template.metadata;
        const mine = policies.filter((policy) => selects(policy.spec.podSelector, labels));
        expect(mine.some(({ spec }) => spec.policyTypes.includes('Ingress'))).toBe(true);
        const rules = mine.flatMap(({ spec }) => spec.ingress ?? []);
        return [
          ...new Set(
            rules.flatMap(({ from }: Thing) =>
              from === undefined
                ? ['anybody']
                : from.flatMap((peer: Thing) =>
                    peer.namespaceSelector === undefined
                      ? pods
                          .filter((other) => selects(peer.podSelector, other.spec.template.metadata.labels))
                          .map((other) => other.metadata.name)
                      : [Object.values(peer.namespaceSelector.matchLabels).join()],
                  ),
            ),
          ),
        ].sort();
      };
      const callers = Object.fromEntries(pods.map((pod) => [pod.metadata.name, callersOf(pod)]));
      const inside = ['gateway', 'monitoring'];
      expect(callers).toEqual({
        gateway: ['anybody', 'monitoring'],
        dispatcher: ['monitoring'],
        webhooks: ['monitoring'],
        ...Object.fromEntries(SERVICES.filter((name) => name !== 'gateway').map((name) => [name, inside])),
      });
    }
  });

  test('with TLS inside, services speak it, probes and Prometheus too, and the gateway asks for it', () => {
    const overlay = scratchDirectory();
    const up = relative(overlay, folder);
    writeFileSync(
      join(overlay, 'kustomization.yaml'),
      stringify({
        resources: [`${up}/overlays/postgres`],
        components: [`${up}/components/tls-inside`, `${up}/components/ingress`],
      }),
    );
    const things = render(overlay);
    expect(things.flatMap(faultsOf)).toEqual([]);
    const of = (name: string) =>
      podOf(things.find((thing) => thing.kind === 'Deployment' && thing.metadata.name === name));
    const told = (name: string, setting: string) =>
      of(name).env.find((entry) => entry.name === setting)?.value;
    for (const name of SERVICES.filter((one) => one !== 'gateway')) {
      expect(told('gateway', `${name.toUpperCase()}_URL`)).toBe(`https://${name}:8080`);
      for (const setting of ['TLS_CERT', 'TLS_KEY', 'TLS_CLIENT_CA']) {
        expect(shapes[name]).toHaveProperty(setting);
        expect(told(name, setting)).toMatch(/^\/etc\/aitbc\/tls\//);
      }
      for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe'])
        expect(of(name).container[probe].httpGet.scheme).toBe('HTTPS');
    }
    for (const setting of ['SERVICES_CA', 'SERVICES_CERT', 'SERVICES_KEY']) {
      expect(gateway).toHaveProperty(setting);
      expect(told('gateway', setting)).toMatch(/^\/etc\/aitbc\/tls\//);
    }
    expect(of('gateway').container.volumeMounts).toHaveLength(2);
    expect(told('dispatcher', 'TLS_CERT')).toBeUndefined();
  });
});
