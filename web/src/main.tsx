/** Starts the page. */
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { App, createQueryClient } from './app/App'
import { startTheme } from './app/preferences'
import './styles/tokens.css'
import './styles/base.css'
import './styles/shell.css'
import './styles/search.css'
import './styles/live.css'
import './styles/first-run.css'
import './styles/trace.css'
import './styles/verdict.css'
import './styles/details.css'
import './styles/tabs.css'

startTheme()

const root = document.getElementById('root')
if (root === null) throw new Error('index.html has no element with id "root"')
createRoot(root).render(
  <StrictMode>
    <App client={createQueryClient()} />
  </StrictMode>,
)
