-- For each of some attributes, whether a resource has it, and whether a scope, an event or a link has it, of these spans or of
-- fragments. The columns of the latter are empty for most spans.
SELECT (SELECT [IN_RESOURCES] FROM resources), (SELECT [BESIDE] FROM
 (SELECT arrayConcat([scope_attrs],event_attrs,link_attrs) AS maps FROM spans WHERE (SPAN_WINDOW) OR IS_FRAGMENT))
