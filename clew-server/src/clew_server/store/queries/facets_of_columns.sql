-- How many traces have a span with each service, name, kind and status.
SELECT 'language', multiIf(grouping(service)=0,'service',grouping(name)=0,'name',grouping(kind)=0,'kind','status') AS key,
 multiIf(key='service',toString(service),key='name',toString(name),key='kind',toString(kind),toString(status)) AS v,
 groupBitmap(number) AS traces_with, groupBitmapIf(number,has_failed), groupBitmapIf(number,is_selected)
FROM (SELECT number, has_failed, is_selected, service, name, kind, status FROM spans
 INNER JOIN (SELECT *, toUInt32(rowNumberInAllBlocks()) AS number FROM (MEMBERS)) AS members USING (trace_id)
 WHERE SPAN_WINDOW AND start!=FRAGMENT AND SPANS_OF_MEMBERS)
GROUP BY GROUPING SETS ((service),(name),(kind),(status)) ORDER BY traces_with DESC, v LIMIT {limit:UInt64} BY key
