-- Which keys these spans have in their attributes (with the types of the values), their events, links, scope and resource, and how many spans have
-- just these: there are few such forms. The parts of a map are read by themselves: the keys only.
SELECT attrs.keys AS ks, attr_types AS ts, arrayDistinct(arrayFlatten(event_attrs.keys)) AS es, arrayDistinct(arrayFlatten(link_attrs.keys)) AS ls, scope_attrs.keys AS ss, [res_key] AS rs, count() AS n
FROM spans PREWHERE SAMPLE WHERE SPAN_WINDOW AND SPAN_CONDITIONS GROUP BY ks, ts, es, ls, ss, rs ORDER BY n DESC LIMIT {limit:UInt64}
