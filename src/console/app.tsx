import { useSignalEffect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { ErrorBoundary, LocationProvider, lazy, Route, Router, useLocation } from 'preact-iso';
import { lookWhoIsSignedIn, session, signOut } from './api.ts';
import { liveFeed } from './live-feed.ts';
import { LostConnection } from './lost-connection.tsx';
import { MigrationsPage } from './migrations-page.tsx';
import { Clock } from './parts/clock.tsx';
import { Brand } from './parts/glyph.tsx';
import { SignInPage } from './sign-in-page.tsx';

const MigrationPage = lazy(async () => (await import('./migration-page.tsx')).MigrationPage);

function LiveMark() {
  const { kind } = liveFeed.state.value;
  if (kind === 'lost') {
    return (
      <span class="live off">
        <i />
        <b class="bad">Connection lost</b>
      </span>
    );
  }
  return (
    <span class={kind === 'live' ? 'live' : 'live off'}>
      <i />
      {kind === 'live' ? 'Live' : 'Connecting'}
    </span>
  );
}

function Top() {
  const who = session.value;
  return (
    <header class="top">
      <Brand />
      <nav aria-label="Main">
        <a href="/" aria-current={useLocation().path === '/' ? 'page' : 'true'}>
          Migrations
        </a>
      </nav>
      <div class="end">
        <LiveMark />
        <Clock />
        <span class="who">
          {who?.name} <span>({who?.role})</span>
        </span>
        <button type="button" class="btn quiet s" onClick={() => void signOut()}>
          Sign out
        </button>
      </div>
    </header>
  );
}

function NotFound() {
  return (
    <main class="empty">
      <h1>There is nothing here</h1>
      <p>
        <a href="/">To the migrations</a>
      </p>
    </main>
  );
}

/** Whoever reads by ear is told that the page has changed, by its name. */
function announce(): void {
  requestAnimationFrame(() => {
    const title = document.querySelector('h1')?.textContent;
    if (title != null && title !== '') document.title = `${title} · changeover`;
  });
}

function SignedIn() {
  const page = useRef<HTMLDivElement>(null);
  useEffect(() => {
    liveFeed.start();
    return () => liveFeed.stop();
  }, []);
  return (
    <LocationProvider>
      <a class="skip" href="#content">
        To the content
      </a>
      <Top />
      <LostConnection />
      <div ref={page} id="content">
        <ErrorBoundary>
          <Router onRouteChange={announce} onLoadEnd={announce}>
            <Route path="/" component={MigrationsPage} />
            <Route path="/migrations/:name/:tab?" component={MigrationPage} />
            <Route default component={NotFound} />
          </Router>
        </ErrorBoundary>
      </div>
    </LocationProvider>
  );
}

/** The console: who is not signed in sees nothing but the door. */
export function App() {
  useEffect(() => {
    const look = (): void => {
      lookWhoIsSignedIn().catch(() => setTimeout(look, 1_000));
    };
    look();
  }, []);
  useSignalEffect(() => {
    if (session.value === null) document.title = 'Sign in · changeover';
  });
  if (session.value === undefined) return null;
  return session.value === null ? <SignInPage /> : <SignedIn />;
}
