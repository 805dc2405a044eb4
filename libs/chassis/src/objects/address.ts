const SCHEMES = ['file:', 's3:'];

/** @returns what is wrong with such a URL, or null */
export const objectsProblem = (given: string): string | null => {
  if (!URL.canParse(given)) return 'must be a URL: file:///FOLDER or s3://BUCKET/PREFIX';
  const url = new URL(given);
  if (!SCHEMES.includes(url.protocol)) return 'must begin with file:/// or s3://';
  if (url.protocol === 'file:' && (url.host !== '' || url.pathname === '/'))
    return 'must name a folder from the root on: file:///FOLDER';
  if (url.protocol === 's3:' && url.host === '') return 'must name a bucket: s3://BUCKET/PREFIX';
  if (url.username !== '' || url.password !== '')
    return 'must not hold keys: they are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY';
  const endpoint = url.searchParams.get('endpoint');
  return endpoint === null || /^https?:\/\/[^/?#@]+\/?$/.test(endpoint)
    ? null
    : 'endpoint= must look like https://HOST:PORT';
};
