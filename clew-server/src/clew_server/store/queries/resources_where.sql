-- Is there a resource for which the condition holds?
SELECT count() FROM (SELECT 1 FROM resources WHERE RESOURCE_CONDITION LIMIT 1)
