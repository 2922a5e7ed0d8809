// @ts-check
/**
 * What a view and the page around it expect of each other.
 *
 * @typedef {object} Page
 * @property {import("../components/settings-form.js").SettingsForm} form
 * @property {() => void} updateButtons                    a run has started or ended
 * @property {(address: string) => void} setAddress        replaces the page's address
 * @property {() => void} updateTitle                      the view shows another picture
 * @property {(text: string) => void} showNotice           "" hides the notice
 * @property {(element: HTMLElement, header?: HTMLElement) => void} scrollIntoView  with its header, if both fit
 *
 * @typedef {object} View
 * @property {boolean} running
 * @property {string} [pictureName]                        of the picture that is shown; names the browser's tab
 * @property {() => void} submit
 * @property {() => void} cancel
 * @property {() => void} [onFormChange]
 * @property {(linked: boolean) => void} [onShow]          linked: the page was opened at the view's address
 */
export {};
