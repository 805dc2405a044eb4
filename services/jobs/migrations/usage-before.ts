/** The jobs that ended before they were counted, in words of both engines: read once, from end to end. */
export const countedBefore = `INSERT INTO usage_day
     SELECT client_id, ended_at_ms / 86400000, job_type, coalesce(model, ''), '', 0,
       count(CASE status WHEN 'completed' THEN 1 END), count(CASE status WHEN 'failed' THEN 1 END),
       count(CASE status WHEN 'cancelled' THEN 1 END), count(CASE status WHEN 'expired' THEN 1 END),
       coalesce(sum(CASE status WHEN 'completed' THEN lease_price_minor END), 0)
     FROM job WHERE ended_at_ms IS NOT NULL GROUP BY 1, 2, 3, 4`;
