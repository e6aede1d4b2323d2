-- Fails where the text is no regular expression.
SELECT match('',unhex({expression:String}))
