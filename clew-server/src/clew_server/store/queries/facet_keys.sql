-- Keys of attributes of some spans of some traces, those of most spans first, with how many different values they have, up to one too many.
SELECT toString(k), uniqUpTo(MOST_VALUES)(v) AS different, count() AS n
FROM (SELECT attrs.keys AS ks, attrs.values AS vs, attr_types AS ts FROM spans PREWHERE SAMPLE WHERE SPAN_WINDOW AND start!=FRAGMENT AND TRACE_SETS)
ARRAY JOIN ks AS k, vs AS v, ts AS t WHERE t IN CATEGORIES GROUP BY k ORDER BY n DESC, k
