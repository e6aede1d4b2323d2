/** Tests wait for what is to appear, however long a busy machine takes for it. */
import { configure } from '@testing-library/react'

configure({ asyncUtilTimeout: 20_000 })
