// Copyright The otel-backendai Authors
// SPDX-License-Identifier: Apache-2.0

// Making elements. All text goes through textContent: names of spans come from strangers and must never become markup.

export function el(name, options = {}, ...children) {
  const node = document.createElement(name);
  const { className, text, title, href, style, on, data } = options;
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  if (title) node.title = title;
  if (href) node.setAttribute("href", href);
  // Properties set from a script are allowed by the Content-Security-Policy, style attributes in markup are not.
  for (const [property, value] of Object.entries(style ?? {})) node.style.setProperty(property, value);
  for (const [key, value] of Object.entries(data ?? {})) node.dataset[key] = value;
  for (const [event, listener] of Object.entries(on ?? {})) node.addEventListener(event, listener);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// An element that is pressed like a button but laid out like a row.
export function pressable(node, action) {
  node.tabIndex = 0;
  node.setAttribute("role", "button");
  node.addEventListener("click", (event) => {
    if (!event.target.closest("a") && !String(window.getSelection())) action();
  });
  node.addEventListener("keydown", (event) => {
    if (event.target === node && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      action();
    }
  });
  return node;
}
