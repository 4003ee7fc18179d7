/** Dark, light, or the system's choice. */

import { useEffect, useState } from "react";
import { kept } from "../api/storage";

const NAME = "greenroom.theme";
const THEMES = ["system", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];

const browser = kept(() => localStorage);

function chosen(): Theme {
  const found = browser.getItem(NAME);
  return THEMES.find((theme) => theme === found) ?? "system";
}

export function ThemeChoice() {
  const [theme, setTheme] = useState<Theme>(chosen);
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    browser.setItem(NAME, theme);
  }, [theme]);
  return (
    <label className="theme">
      <span className="visually-hidden">Colours</span>
      <select value={theme} onChange={(event) => setTheme(event.target.value as Theme)}>
        {THEMES.map((each) => (
          <option key={each} value={each}>
            {each === "system" ? "System colours" : each === "light" ? "Light" : "Dark"}
          </option>
        ))}
      </select>
    </label>
  );
}
