// The same request for other tools. The key is never written out: it would end in somebody's notes.

interface Request {
  readonly url: string;
  readonly type: string;
  readonly parameters: Record<string, unknown>;
  readonly amount: number | undefined;
}

const PICTURE_SHOWN = 24;
/** A picture is a hundred thousand characters; what stands there instead says where it comes from. */
const shortened = (parameters: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(parameters).map(([name, value]) => [
      name,
      name === 'image_base64' && typeof value === 'string' && value.length > PICTURE_SHOWN
        ? `${value.slice(0, PICTURE_SHOWN)}…`
        : value,
    ]),
  );

const inShell = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
/** JSON is Python, but for three words. */
const inPython = (value: unknown): string =>
  JSON.stringify(value, null, 4).replace(/(?<=: )(true|false|null)(?=,?$)/gm, (word) =>
    word === 'true' ? 'True' : word === 'false' ? 'False' : 'None',
  );

export const snippets = ({
  url,
  type,
  parameters,
  amount,
}: Request): readonly (readonly [string, string])[] => {
  const shown = shortened(parameters);
  const body = {
    job_type: type,
    parameters: shown,
    ...(amount === undefined ? {} : { payment_amount: amount }),
  };
  const options = amount === undefined ? '' : `, { payment_amount: ${amount} }`;
  const flags = Object.entries(shown)
    .map(([name, value]) =>
      name === 'image_base64' ? `-p ${name}=@picture.png` : `-p ${name}=${inShell(String(value))}`,
    )
    .join(' ');
  return [
    [
      'curl',
      `curl ${url}/v1/client/jobs \\\n  -H "X-Api-Key: $AITBC_API_KEY" \\\n  -H 'Content-Type: application/json' \\\n  -d ${inShell(JSON.stringify(body, null, 2))}`,
    ],
    [
      'TypeScript',
      `import { Aitbc } from '@aitbc/sdk';\n\nconst client = new Aitbc({ baseUrl: '${url}', apiKey: process.env.AITBC_API_KEY });\nconst job = await client.jobs.run('${type}', ${JSON.stringify(shown, null, 2)}${options});\nconsole.log(job.result);`,
    ],
    [
      'Python',
      `import os, requests\n\nreply = requests.post(\n    "${url}/v1/client/jobs",\n    headers={"X-Api-Key": os.environ["AITBC_API_KEY"]},\n    json=${inPython(body)},\n)\nreply.raise_for_status()\nprint(reply.json()["id"])`,
    ],
    ['Terminal', `aitbc jobs run ${type} ${flags}${amount === undefined ? '' : ` --pay ${amount}`}`],
  ];
};
