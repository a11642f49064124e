import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { App } from './App'
import { Speaking } from './i18n'
import { Refused } from './jmap'
import './styles.css'

// A session that ended (elsewhere, or by itself) leads back to the door, wherever one was.
function onError(error: unknown) {
  if (error instanceof Refused && error.status === 401) client.setQueryData(['session'], null)
}

const client: QueryClient = new QueryClient({
  queryCache: new QueryCache({ onError }),
  mutationCache: new MutationCache({ onError }),
  defaultOptions: { queries: { retry: (count, error) => count < 1 && !(error instanceof Refused && error.status === 401), staleTime: 10_000 } },
})
const root = document.getElementById('root')
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={client}>
        <Speaking>
          <App />
        </Speaking>
      </QueryClientProvider>
    </StrictMode>,
  )
}
