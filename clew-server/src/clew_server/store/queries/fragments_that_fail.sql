-- Is there a fragment by which its span may have failed?
SELECT count() FROM (SELECT 1 FROM spans WHERE IS_FRAGMENT AND EXCEPTION LIMIT 1)
