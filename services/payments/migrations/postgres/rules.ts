/**
 * A trigger that looks at other rows. Its search path is that of the schema it was made in, so that it finds this
 * service's tables whoever writes.
 */
const trigger = (name: string, when: string, body: string): string[] => [
  `CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
     BEGIN
       ${body}
       RETURN NEW;
     END $$`,
  `CREATE TRIGGER ${name} ${when} EXECUTE FUNCTION ${name}()`,
];

/** Refuses a row, as a constraint does, where the condition is true. */
export const guard = (rule: { name: string; when: string; refuses: string; message: string }): string[] =>
  trigger(
    rule.name,
    `${rule.when} FOR EACH ROW`,
    `IF ${rule.refuses}
       THEN RAISE EXCEPTION USING MESSAGE = '${rule.message}', ERRCODE = 'integrity_constraint_violation',
         CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
       END IF;`,
  );

/** Writes what follows from a row. */
export const follow = (rule: { name: string; when: string; only?: string; does: string }): string[] =>
  trigger(rule.name, `${rule.when} FOR EACH ROW ${rule.only ?? ''}`, rule.does);

/** Refuses that anything is taken out of a table. TRUNCATE asks no row. */
export const keep = (table: string, message: string): string[] => [
  `CREATE TRIGGER ${table}_is_kept BEFORE DELETE ON ${table} FOR EACH ROW EXECUTE FUNCTION refuse('${message}')`,
  `CREATE TRIGGER ${table}_is_kept_whole BEFORE TRUNCATE ON ${table} EXECUTE FUNCTION refuse('${message}')`,
];
