/** Letter case does not tell models apart, and a name without a tag means `latest`. */
export const foldedName = (model: string): string => model.toLowerCase().replace(/:latest$/, '');
